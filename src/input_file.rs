//! Opens files that must be regular, and reads a limited number of bytes.
//!
//! A pipe in place of a file can block the process, and a device can give bytes without end. The
//! type is checked before the file is opened, since opening a device can have effects. It is
//! checked again afterwards, since another process can replace the file in between. On Unix,
//! opening a pipe does not wait for its writer.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use crate::files::NotRegular;
use crate::tensor::memory::{self, Lack};

/// The reason why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// A folder, a pipe or a device.
    #[error(transparent)]
    NotRegular(#[from] NotRegular),
    /// A file with more bytes than the limit.
    #[error("a file of {bytes} bytes or more, the limit is {limit}")]
    TooLong {
        /// Its bytes, at least.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// There is not enough memory for the file's bytes.
    #[error("a file of {} bytes, for which there is not enough memory", _0.bytes)]
    Memory(Lack),
    /// An error of the system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens a regular file to read.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), Refused> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(NotRegular::of(&about).into());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let about = file.metadata()?;
    if about.is_file() { Ok((file, about)) } else { Err(NotRegular::of(&about).into()) }
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    read_if(path, limit, |_| Ok(()))
}

/// [`read`] of a file that `check` accepts. `check` gets the metadata of the open file, because
/// another process can replace the file at the path.
pub(crate) fn read_if(
    path: &Path,
    limit: u64,
    check: impl FnOnce(&Metadata) -> io::Result<()>,
) -> Result<Vec<u8>, Refused> {
    let (file, about) = open(path)?;
    check(&about)?;
    let check = |bytes| if bytes > limit { Err(Refused::TooLong { bytes, limit }) } else { Ok(()) };
    check(about.len())?;
    // One byte more than the file has, which shows its end without another allocation.
    let mut bytes = with_capacity(about.len().saturating_add(1))?;
    // One byte more than the limit, to detect a file that grows. A file of /proc has the length
    // zero.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    check(bytes.len() as u64)?;
    Ok(bytes)
}

/// Room for this many bytes.
fn with_capacity(length: u64) -> Result<Vec<u8>, Refused> {
    memory::reserve(length).map_err(Refused::Memory)?;
    let mut bytes = Vec::new();
    usize::try_from(length)
        .is_ok_and(|length| bytes.try_reserve_exact(length).is_ok())
        .then_some(bytes)
        .ok_or_else(|| Refused::Memory(Lack::of(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, [7; 10])?;
        assert_eq!(read(&path, 10).ok(), Some(vec![7; 10]));
        let error = read(&path, 9);
        assert!(matches!(error, Err(Refused::TooLong { bytes: 10, limit: 9 })), "{error:?}");
        File::create(&path)?.set_len(1 << 40)?;
        assert!(matches!(read(&path, 10), Err(Refused::TooLong { .. })));
        // A hole, for which the limit has room and no machine has memory.
        if cfg!(target_os = "linux") {
            File::create(&path)?.set_len(1 << 42)?;
            let error = read(&path, u64::MAX);
            let needed = (1 << 42) + 1;
            assert!(
                matches!(error, Err(Refused::Memory(Lack { bytes, .. })) if bytes == needed),
                "{error:?}"
            );
        }
        assert!(matches!(read(folder.path(), 10), Err(Refused::NotRegular(_))));
        assert!(matches!(read(&folder.path().join("none"), 10), Err(Refused::Io(_))));
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
            assert!(made.success());
            assert!(matches!(read(&pipe, 10), Err(Refused::NotRegular(_))));
            assert!(matches!(read(Path::new("/dev/zero"), 10), Err(Refused::NotRegular(_))));
        }
        // This file has the length zero: the system creates its contents when it is read.
        if cfg!(target_os = "linux") {
            assert!(read(Path::new("/proc/self/status"), 1 << 20).is_ok_and(|it| !it.is_empty()));
            let error = read(Path::new("/proc/self/status"), 10);
            assert!(matches!(error, Err(Refused::TooLong { bytes: 11, .. })), "{error:?}");
        }
        Ok(())
    }
}
