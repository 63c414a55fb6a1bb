//! Errors of images and of their preprocessing.

use super::lack::lack_of_memory;

/// An image, an image file or a preprocessing that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// An image without pixels.
    #[error("{image}: {width} x {height} pixels: the image is empty")]
    Empty {
        /// The file's name, or another name of the image.
        image: String,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The number of bytes is not three per pixel.
    #[error("{image}: {width} x {height} RGB pixels are {expected} bytes, found {found}")]
    Length {
        /// The image's name.
        image: String,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The required number of bytes.
        expected: u64,
        /// The number of bytes found.
        found: u64,
    },
    /// An image has too many pixels to be read, or a side that is too long to be resized.
    #[error("{image}: {width} x {height} pixels, the limit is {limit} {of}")]
    TooLarge {
        /// The file's name, or another name of the image.
        image: String,
        /// Pixels in a row.
        width: u64,
        /// Rows.
        height: u64,
        /// The limit.
        limit: u64,
        /// The limited quantity: "pixels", or "pixels a side".
        of: &'static str,
    },
    /// More bytes than can be read or created.
    #[error("{image}: {what} of {bytes} bytes or more, the limit is {limit}: use a smaller one")]
    TooManyBytes {
        /// The file's name, or another name of the image.
        image: String,
        /// What is too large: "a file", "a table".
        what: &'static str,
        /// The number of bytes, at least.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// There is not enough memory to read, decode or resize an image.
    #[error("{image}: needs {bytes} bytes of host memory, {}", lack_of_memory(*available))]
    Memory {
        /// The file's name, or another name of the image.
        image: String,
        /// The number of bytes, approximately.
        bytes: u64,
        /// The number of available bytes, if it is known.
        available: Option<u64>,
    },
    /// A folder, a pipe or a device where a file is expected.
    #[error("{path}: {found}, not a regular file: {advice}")]
    NotAFile {
        /// The file's name.
        path: String,
        /// What it leads to, such as "a folder".
        found: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A file that is not an image, is damaged, or has an unsupported format.
    #[error("{image}: not a readable image: {reason}")]
    Format {
        /// The file's name, or "image" for bytes.
        image: String,
        /// The decoder's message.
        reason: String,
    },
    /// An invalid preprocessing setting.
    #[error("preprocessing: {setting} is {found}, expected {expected}")]
    Setting {
        /// The field of [`Preprocess`](crate::image::Preprocess).
        setting: &'static str,
        /// Its value.
        found: String,
        /// The valid values.
        expected: &'static str,
    },
    /// A configuration that is not JSON, or whose file cannot be a configuration.
    #[error("{config}: not a readable configuration: {reason}")]
    ConfigFormat {
        /// The file's name, or "configuration" for text.
        config: String,
        /// The parser's message.
        reason: String,
    },
    /// A configuration with a value that is missing, wrong or unsupported.
    #[error("{config}: {key} is {found}, expected {expected}")]
    Config {
        /// The file's name, or "configuration" for text.
        config: String,
        /// The key.
        key: String,
        /// Its value, or "missing".
        found: String,
        /// The supported values.
        expected: &'static str,
    },
}
