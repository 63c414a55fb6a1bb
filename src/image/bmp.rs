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
