//! Functions that all decoders share: a check of the size, and messages on one line.

use super::MAX_PIXELS;
use crate::error::ImageError;

/// Rejects a size before anything is allocated for it.
pub(super) fn check_size(name: &str, width: u32, height: u32) -> Result<(), ImageError> {
    let image = || name.to_owned();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { image: image(), width, height });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let (width, height) = (width.into(), height.into());
        return Err(ImageError::TooLarge {
            image: image(),
            width,
            height,
            limit: MAX_PIXELS,
            of: "pixels",
        });
    }
    Ok(())
}

/// A decoder's message, on one line.
pub(super) fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
