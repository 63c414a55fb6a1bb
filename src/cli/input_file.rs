//! Reads the files that options name: labels, tables of kernels, reports, lists of images.
//!
//! A named pipe can block the process, and a device can give bytes without end, so both are
//! refused. An inherited pipe is read, as for `--compare <(COMMAND) after.json`.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use wgpu_bottleneck::files::NotRegular;

use super::error::CliError;

/// Opens a regular file or an inherited pipe to read. On Unix, this does not wait for a writer,
/// even if another process replaces the file by a pipe in the meantime.
pub fn open(path: &Path) -> io::Result<File> {
    let refused = |about: &Metadata| {
        let what = NotRegular::of(about);
        io::Error::new(ErrorKind::InvalidInput, format!("{what}: {}", what.advice()))
    };
    let (is_pipe, about) = (is_inherited_pipe(path), fs::metadata(path)?);
    if !is_pipe && !about.is_file() {
        return Err(refused(&about));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    if !is_pipe {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    let about = file.metadata()?;
    if is_pipe || about.is_file() { Ok(file) } else { Err(refused(&about)) }
}

/// Reads a file of at most `limit` bytes; `what` describes it in the error.
pub fn read(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, CliError> {
    let io = |source| CliError::io(path, source);
    let file = open(path).map_err(io)?;
    let refuse = |bytes: u64| {
        let path = path.display();
        Err(CliError::Usage(format!(
            "{path}: {what} of {bytes} bytes or more, the limit is {limit}: use a smaller one"
        )))
    };
    let length = file.metadata().map_err(io)?.len();
    if length > limit {
        return refuse(length);
    }
    // One byte more than the file has, which shows its end without another allocation. A pipe has
    // the length zero.
    let mut bytes = with_capacity(length.saturating_add(1)).map_err(io)?;
    // One byte more than the limit, to detect a file that grows.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit { refuse(bytes.len() as u64) } else { Ok(bytes) }
}

/// Room for this many bytes.
fn with_capacity(length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if usize::try_from(length).is_ok_and(|length| bytes.try_reserve_exact(length).is_ok()) {
        return Ok(bytes);
    }
    let why = format!("reading needs {length} bytes of host memory, which are not available");
    Err(io::Error::new(ErrorKind::OutOfMemory, why))
}

/// [`read`] for a text in UTF-8.
pub fn text(path: &Path, what: &str, limit: u64) -> Result<String, CliError> {
    String::from_utf8(read(path, what, limit)?)
        .map_err(|error| CliError::io(path, io::Error::new(ErrorKind::InvalidData, error)))
}

/// Whether the path names a file descriptor of this process that is a pipe. Such a pipe is already
/// open, so opening it again does not block.
#[cfg(unix)]
fn is_inherited_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let folders = ["/dev/fd", "/proc/self/fd"];
    let is_descriptor = path == Path::new("/dev/stdin")
        || path.parent().is_some_and(|parent| folders.iter().any(|it| parent == Path::new(it)));
    is_descriptor && fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_inherited_pipe(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn said<T>(found: Result<T, CliError>) -> String {
        found.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn files_are_read_up_to_the_limit() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("list");
        fs::write(&path, "0123456789")?;
        assert_eq!(text(&path, "a list", 10)?, "0123456789");
        let error = said(read(&path, "a list", 9));
        let expected = "list: a list of 10 bytes or more, the limit is 9: use a smaller one";
        assert!(error.ends_with(expected), "{error}");
        let found = with_capacity(1 << 60).map_err(|error| CliError::io(&path, error));
        assert!(found.as_ref().is_err_and(CliError::is_out_of_memory), "{found:?}");
        assert!(said(found).contains("needs 1152921504606846976 bytes of host memory"));
        fs::write(&path, [0xff])?;
        assert!(said(text(&path, "a list", 10)).contains("utf-8"));
        let found = said(read(folder.path(), "a list", 10));
        assert!(found.ends_with("a folder, not a regular file: name a file in it"), "{found}");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn open_pipes_are_read_and_others_refused() -> Outcome {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir()?;
        let named = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&named).status()?;
        assert!(made.success());
        for (path, what) in [(&*named, "a named pipe"), (Path::new("/dev/zero"), "a device")] {
            let found = said(read(path, "a list", 10));
            let expected = format!("{what}, not a regular file: save its data to a file, and name");
            assert!(found.contains(&expected), "{found}");
        }
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(b"0123456789")?;
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read(Path::new(&path), "a list", 10)?, b"0123456789");
        // The writer stays open: only the limit ends the read.
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(&[b'x'; 100])?;
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let error = said(read(Path::new(&path), "a list", 10));
        assert!(error.contains("a list of 11 bytes or more"), "{error}");
        drop(writer);
        Ok(())
    }
}
