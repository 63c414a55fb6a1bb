//! PNG: checks the size and the palette before the decoder does, which panics for some palettes.

use super::MAX_PIXELS;
use super::checks::check_size;
use crate::error::ImageError;

/// Bytes of the signature and of the header's chunk, which is the first.
const HEADER: usize = 33;
/// The colour type of images with a palette.
const INDEXED: u8 = 3;
/// The part of the decoder's memory limit that does not depend on the file. The limit includes the
/// expanded metadata, such as a colour profile.
const SPARE_BYTES: u64 = 64 << 20;

/// Width and height in the header; `None` if the decoder reports an error.
fn size(first: &[u8]) -> Option<[u32; 2]> {
    let number = |at: usize| Some(u32::from_be_bytes(*first.get(at..)?.first_chunk()?));
    (first.get(12..16)? == b"IHDR").then_some(())?;
    Some([number(16)?, number(20)?])
}

/// The maximum number of bytes that the decoder may allocate for a file of this length, in addition
/// to the image: the file's metadata, twice, while its buffers grow, and one row. `first` is the
/// beginning of the file; `name` is for errors.
pub(super) fn most_bytes(name: &str, first: &[u8], length: u64) -> Result<u64, ImageError> {
    const BYTES_PER_PIXEL: u64 = 8;
    let row = match size(first) {
        Some([width, height]) => {
            check_size(name, width, height)?;
            BYTES_PER_PIXEL * u64::from(width).min(MAX_PIXELS)
        }
        None => 0,
    };
    Ok(4 * length + row + SPARE_BYTES)
}

/// Checks the palette, if the image needs one. The error is the message to report.
pub(super) fn check_palette(bytes: &[u8]) -> Result<(), String> {
    if bytes.get(25) != Some(&INDEXED) {
        return Ok(());
    }
    let mut at = HEADER;
    while let Some((length, rest)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk()) {
        let length = u32::from_be_bytes(*length) as usize;
        match rest.first_chunk() {
            Some(b"PLTE") if length == 0 || length > 768 || !length.is_multiple_of(3) => {
                return Err(format!(
                    "its palette has {length} bytes, expected three per colour of at most 256"
                ));
            }
            None | Some(b"IDAT" | b"IEND") => break,
            Some(_) => {}
        }
        // After length, name, data and checksum.
        let Some(next) = at.checked_add(12).and_then(|it| it.checked_add(length)) else { break };
        at = next;
    }
    Ok(())
}
