//! Removes the temporary files of dead processes.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::part::Name;

/// Removes the temporary files of processes that have ended. Only regular files with the name of a
/// temporary file are removed, and only if their lock is free: see the [module](super). Problems
/// are ignored, because the files do no harm.
///
/// A network file system may keep locks per machine. Then a run on one machine can remove the
/// temporary file of a run on another. That run ends with an error; its target does not change.
pub fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    // The files that each lock protects, without the locked file.
    let mut groups: BTreeMap<Name, Vec<PathBuf>> = BTreeMap::new();
    for entry in entries.flatten() {
        let Some(name) = Name::parse(&entry.file_name()) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let members = groups.entry(name.locked()).or_default();
            if name.is_member() {
                members.push(entry.path());
            }
        }
    }
    for (name, members) in groups {
        remove_group(&folder.join(name.to_string()), &members);
    }
}

/// Removes a locked file and the members of its group if the lock is free.
fn remove_group(locked: &Path, members: &[PathBuf]) {
    let file = match open(locked) {
        Ok(file) if file.try_lock().is_ok() => Some(file),
        // The locked file is created first and removed last. So this group has ended, or its
        // removal was interrupted.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Ok(_) | Err(_) => return,
    };
    for member in members {
        let _ = fs::remove_file(member);
    }
    if file.is_some() {
        let _ = fs::remove_file(locked);
    }
}

/// Opens a regular file, not through a link. The type is checked before the file is opened, since
/// opening a device can have effects, and afterwards, since the file can be replaced in between.
fn open(path: &Path) -> io::Result<File> {
    let check = |about: &Metadata| match about.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file")),
    };
    check(&fs::symlink_metadata(path)?)?;
    let mut options = File::options();
    // Some network file systems grant an exclusive lock only on a file that is open for writing.
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}
