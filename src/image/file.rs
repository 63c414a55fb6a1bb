//! Opens files: only regular ones, after checking their size.

use std::fs::{File, metadata};
use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, ImageError};

/// Opens a regular file of at most `limit` bytes and returns its length; `what` describes it in
/// errors.
pub(super) fn open(path: &Path, what: &'static str, limit: u64) -> Result<(File, u64), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    // Checked before opening, because opening a pipe waits for its writer.
    let metadata = metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(ImageError::NotAFile { path: path.display().to_string() }.into());
    }
    check_length(path, what, metadata.len(), limit)?;
    Ok((File::open(path).map_err(io)?, metadata.len()))
}

/// Reads the bytes of a regular file.
pub(super) fn read(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>, Error> {
    let (file, length) = open(path, what, limit)?;
    let mut bytes = Vec::with_capacity(length as usize);
    // One byte more than the limit, to detect that the file has grown; system files report a length
    // of zero.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Io { path: path.to_owned(), source })?;
    check_length(path, what, bytes.len() as u64, limit)?;
    Ok(bytes)
}

fn check_length(path: &Path, what: &'static str, bytes: u64, limit: u64) -> Result<(), ImageError> {
    if bytes > limit {
        return Err(ImageError::TooManyBytes {
            image: path.display().to_string(),
            what,
            bytes,
            limit,
        });
    }
    Ok(())
}
