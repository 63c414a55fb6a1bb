//! Errors of pictures and of the settings by which they are made a network's input.

/// A picture, a picture file or a preprocessing that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// A picture without a pixel.
    #[error("{picture}: {width} x {height} pixels: there is nothing in it")]
    Empty {
        /// The file's name, or what else the picture is called.
        picture: String,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The bytes are not three a pixel.
    #[error("{picture}: {width} x {height} RGB pixels are {expected} bytes, found {found}")]
    Length {
        /// What the picture is called.
        picture: String,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes that there must be.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// More pixels than are read, or a side longer than is resized.
    #[error("{picture}: {width} x {height} pixels, the limit is {limit} {of}")]
    TooLarge {
        /// The file's name, or what else the picture is called.
        picture: String,
        /// Pixels in a row.
        width: u64,
        /// Rows.
        height: u64,
        /// How many there may be.
        limit: u64,
        /// Of what: "pixels", or "pixels a side".
        of: &'static str,
    },
    /// More bytes than are read or made.
    #[error("{picture}: {what} of {bytes} bytes or more, the limit is {limit}")]
    TooManyBytes {
        /// The file's name, or what else the picture is called.
        picture: String,
        /// Of what: "a file", "a table".
        what: &'static str,
        /// How many there are at least.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A folder, a pipe or a device where a file is expected.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// Its name.
        path: String,
    },
    /// A file that is no picture, is damaged, or is of a kind that is not read.
    #[error("{picture}: not a readable picture: {reason}")]
    Format {
        /// The file's name, or "picture" for bytes.
        picture: String,
        /// What the decoder says.
        reason: String,
    },
    /// A preprocessing that cannot be.
    #[error("preprocessing: {setting} is {found}, expected {expected}")]
    Setting {
        /// The field of [`Preprocess`](crate::picture::Preprocess).
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A configuration that is not JSON, or lies in a file that cannot be one.
    #[error("{config}: not a readable configuration: {reason}")]
    ConfigFormat {
        /// The file's name, or "configuration" for text.
        config: String,
        /// What the parser says.
        reason: String,
    },
    /// A configuration with a value that is missing, wrong, or asks for what is not done here.
    #[error("{config}: {key} is {found}, expected {expected}")]
    Config {
        /// The file's name, or "configuration" for text.
        config: String,
        /// The key.
        key: String,
        /// Its value, or "missing".
        found: String,
        /// What is read.
        expected: &'static str,
    },
}
