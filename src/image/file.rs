//! Reads files of images and configurations, with their errors.

#[cfg(feature = "images")]
use std::fs::File;
use std::path::Path;

use crate::error::{Error, ImageError};
use crate::input_file::{self, Refused};

/// Opens a regular file of at most `limit` bytes and returns its length; `what` describes it in
/// errors.
#[cfg(feature = "images")]
pub(super) fn open(path: &Path, what: &'static str, limit: u64) -> Result<(File, u64), Error> {
    let opened = input_file::open(path).and_then(|(file, about)| match about.len() {
        bytes if bytes > limit => Err(Refused::TooLong { bytes, limit }),
        length => Ok((file, length)),
    });
    opened.map_err(|refused| error(path, what, refused))
}

/// Reads the bytes of a regular file.
pub(super) fn read(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>, Error> {
    input_file::read(path, limit).map_err(|refused| error(path, what, refused))
}

fn error(path: &Path, what: &'static str, refused: Refused) -> Error {
    let name = path.display().to_string();
    match refused {
        Refused::NotRegular(what) => {
            let (found, advice) = (what.found, what.advice());
            ImageError::NotAFile { path: name, found, advice }.into()
        }
        Refused::TooLong { bytes, limit } => {
            ImageError::TooManyBytes { image: name, what, bytes, limit }.into()
        }
        Refused::Memory(lack) => lack.of_image(&name).into(),
        Refused::Io(source) => Error::Io { path: path.to_owned(), source },
    }
}
