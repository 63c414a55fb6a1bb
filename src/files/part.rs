//! Temporary files: their names and locks.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::links::parent;

/// The largest number of names to try. One is enough unless another process takes the name, or
/// removes the file before it is locked.
const MOST_NAMES: usize = 1000;

/// The name of a temporary file: `.bottleneck-PROCESS-NUMBER.part`, and
/// `.bottleneck-PROCESS-NUMBER-INDEX.part` for a file of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    process: u32,
    number: u64,
    index: Option<u32>,
}

impl Name {
    /// A name that this process has not used yet.
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Contains the time, because an earlier process may have had the same id.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let number = (time as u64).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        Self { process: std::process::id(), number, index: None }
    }

    /// Reads a name. `None` if the program does not write this name.
    pub fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let mut numbers = name.strip_prefix(".bottleneck-")?.strip_suffix(".part")?.split('-');
        let (process, number) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let index = numbers.next().map(str::parse).transpose().ok()?;
        let parsed = Self { process, number, index };
        // Not `+1` or `01`.
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The name of the file whose lock shows that the writer is alive.
    pub fn locked(self) -> Self {
        Self { index: None, ..self }
    }

    /// The name of a file of a group.
    pub fn member(self, index: u32) -> Self {
        Self { index: Some(index), ..self }
    }

    /// Whether the lock is on another file.
    pub fn is_member(self) -> bool {
        self.index.is_some()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, number, index } = self;
        match index {
            None => write!(f, ".bottleneck-{process}-{number}.part"),
            Some(index) => write!(f, ".bottleneck-{process}-{number}-{index}.part"),
        }
    }
}

/// A temporary file. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    /// The lock of a file that is not a member of a group.
    lock: Option<File>,
    is_renamed: bool,
}

impl Part {
    /// Creates an empty file and locks it.
    pub fn create(folder: &Path) -> io::Result<(Name, Self)> {
        for _ in 0..MOST_NAMES {
            let name = Name::new();
            let path = folder.join(name.to_string());
            let file = match create_new(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // Another process may have locked the file first to remove it.
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                Ok(()) if !is_same(&file, fs::symlink_metadata(&path))? => continue,
                // Some file systems have no locks. There, nothing removes the file.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            return Ok((name, Self { path, lock: Some(file), is_renamed: false }));
        }
        let why = format!("no temporary file can be created in {}", folder.display());
        Err(io::Error::other(why))
    }

    /// Creates an empty file of a group, without a lock. The file must not exist.
    pub fn of_group(folder: &Path, name: Name) -> io::Result<(Self, File)> {
        let path = folder.join(name.to_string());
        let file = create_new(&path)?;
        Ok((Self { path, lock: None, is_renamed: false }, file))
    }

    /// Renames a regular file to a name of a group; `None` if there is no such file. Fails if it
    /// has become something else.
    pub fn set_aside(file: &Path, name: Name) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(file) {
            Ok(about) if about.is_file() => {}
            Ok(_) => {
                let why = "is not a regular file any more, and is not replaced";
                return Err(io::Error::new(ErrorKind::AlreadyExists, why));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let path = parent(file).join(name.to_string());
        fs::rename(file, &path)?;
        Ok(Some(Self { path, lock: None, is_renamed: false }))
    }

    /// The open file, unless it is a member of a group.
    pub fn file(&mut self) -> Option<&mut File> {
        self.lock.as_mut()
    }

    /// Renames the file. Fails if the target has become a symbolic link.
    pub fn rename(mut self, target: &Path) -> io::Result<()> {
        if target.is_symlink() {
            let why = "has become a symbolic link in the meantime, and is not replaced";
            return Err(io::Error::new(ErrorKind::AlreadyExists, why));
        }
        fs::rename(&self.path, target)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_renamed {
            // The next run removes it if this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes the contents and syncs them to the disk.
pub(super) fn fill(
    file: &mut File,
    permissions: Option<Permissions>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    write(file)?;
    file.sync_all()
}

/// Creates a file that must not exist. A link is not followed.
fn create_new(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).open(path)
}

/// Whether a path still refers to an open file. `found` is the metadata of the path, read with or
/// without following links.
///
/// # Errors
/// An I/O error of the system, except that the path does not exist.
pub fn is_same(file: &File, found: io::Result<Metadata>) -> io::Result<bool> {
    match found {
        Ok(found) => has_identity_of(file, &found),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn has_identity_of(file: &File, found: &Metadata) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let file = file.metadata()?;
    Ok((found.dev(), found.ino()) == (file.dev(), file.ino()))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on Unix it may fail")]
fn has_identity_of(_: &File, _: &Metadata) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let name = Name::new();
        for name in [name, name.member(0), name.member(u32::MAX)] {
            assert_eq!(Name::parse(OsStr::new(&name.to_string())), Some(name));
            assert!(!name.locked().is_member());
        }
        assert_ne!(Name::new(), Name::new());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_replaced() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old")?;
        std::os::unix::fs::symlink(&target, &link)?;
        let (_, part) = Part::create(folder.path())?;
        let error = part.rename(&link).err().map(|error| error.kind());
        assert_eq!(error, Some(ErrorKind::AlreadyExists));
        assert!(link.is_symlink() && fs::read(&target)? == b"old");
        assert_eq!(fs::read_dir(folder.path())?.count(), 2);
        Ok(())
    }
}
