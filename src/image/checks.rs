//! Functions that all decoders share: checks of the size and of the memory, messages on one line,
//! and panics as errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::MAX_PIXELS;
use crate::error::ImageError;
use crate::tensor::memory;

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

/// Checks that this many bytes can be allocated now. Most decoders end the process if an allocation
/// fails.
pub(super) fn check_memory(name: &str, bytes: u64) -> Result<(), ImageError> {
    memory::reserve(bytes).map_err(|lack| lack.of_image(name))
}

/// A decoder's message, on one line.
pub(super) fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// The result of decoding an image; a panic of a decoder is an error.
pub(super) fn caught<T>(
    name: &str,
    decode: impl FnOnce() -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    // After a panic, nothing that the decoder has changed is used.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        let reason = "the decoder panicked".to_owned();
        Err(ImageError::Format { image: name.to_owned(), reason })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_is_an_error_of_the_image() {
        let numbers = [1, 2];
        let at = numbers.len();
        let error = caught("a.png", || Ok(numbers[std::hint::black_box(at)]));
        let text = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(text, "a.png: not a readable image: the decoder panicked");
        assert_eq!(caught("a.png", || Ok(numbers[0])), Ok(1));
    }

    #[test]
    fn memory_that_cannot_be_allocated_is_an_error_of_the_image() {
        assert_eq!(check_memory("a.png", 1 << 20), Ok(()));
        for bytes in [u64::MAX >> 1, u64::MAX] {
            let error = check_memory("a.png", bytes);
            let named = matches!(
                &error,
                Err(ImageError::Memory { image, bytes: found, .. })
                    if image == "a.png" && *found == bytes
            );
            assert!(named, "{error:?}");
        }
    }
}
