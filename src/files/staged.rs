//! One file under its temporary name.

use std::fs::{File, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::links::parent;
use super::part::{Part, fill};
use super::stale::remove_stale;

/// A complete file under its temporary name. Dropping it removes the file.
#[derive(Debug)]
pub struct Staged {
    part: Part,
    target: PathBuf,
}

impl Staged {
    /// Writes a file under a temporary name in the folder of the target. Removes stale files of
    /// that folder. The target must not be a link: see [`follow`](super::follow).
    ///
    /// # Errors
    /// An I/O error of the system, or of `write`.
    pub fn write(
        target: &Path,
        permissions: Option<Permissions>,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Self> {
        let folder = parent(target);
        remove_stale(folder);
        let (_, mut part) = Part::create(folder)?;
        if let Some(file) = part.file() {
            fill(file, permissions, write)?;
        }
        Ok(Self { part, target: target.to_owned() })
    }

    /// Renames the file to its final name.
    ///
    /// # Errors
    /// An I/O error of the system; an error if the target has become a symbolic link.
    pub fn persist(self) -> io::Result<()> {
        self.part.rename(&self.target)
    }
}
