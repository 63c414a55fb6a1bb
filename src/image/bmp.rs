//! BMP with 16 bits per pixel: five or six per channel. The decoder rounds when converting to eight
//! bits; Pillow truncates.

use image::RgbImage;

/// The maximum levels of red, green and blue as stored; `None` if they have eight bits.
fn largest(bytes: &[u8]) -> Option<[u32; 3]> {
    const BITFIELDS: u8 = 3;
    const GREEN_OF_SIX: [u8; 4] = 0x7e0u32.to_le_bytes();
    let (bits, compression, green) = (bytes.get(28..30)?, *bytes.get(30)?, bytes.get(58..62)?);
    if bits != [16, 0] {
        return None;
    }
    Some(if compression == BITFIELDS && green == GREEN_OF_SIX { [31, 63, 31] } else { [31; 3] })
}

/// Checks that the file is long enough for its pixels, if they are not compressed. The error is the
/// message to report.
pub(super) fn check_length(bytes: &[u8]) -> Result<(), String> {
    const OLDEST_HEADER: [u8; 4] = 12u32.to_le_bytes();
    const RUNS_OF_8_BITS: u8 = 1;
    const RUNS_OF_4_BITS: u8 = 2;
    let number = |at: usize| Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let short = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let needed = || {
        let (width, height, bits) = if bytes.get(14..18)? == OLDEST_HEADER {
            (short(18)?.into(), short(20)?.into(), short(24)?)
        } else if matches!(bytes.get(30)?, &RUNS_OF_8_BITS | &RUNS_OF_4_BITS) {
            return None;
        } else {
            (number(18)?.unsigned_abs(), number(22)?.unsigned_abs(), short(28)?)
        };
        let row_bytes = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
        row_bytes.checked_mul(height.into())
    };
    match needed() {
        Some(needed) if needed > bytes.len() as u64 => Err(format!(
            "the file ends before the image does: {needed} bytes of pixels, the file has {}",
            bytes.len()
        )),
        _ => Ok(()),
    }
}

/// Replaces rounded levels by truncated ones.
pub(super) fn cut_off(bytes: &[u8], image: &mut RgbImage) {
    let Some(largest) = largest(bytes) else { return };
    for pixel in image.pixels_mut() {
        for (level, largest) in pixel.0.iter_mut().zip(largest) {
            let stored = (u32::from(*level) * largest + 127) / 255;
            *level = (stored * 255 / largest) as u8;
        }
    }
}
