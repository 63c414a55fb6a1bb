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

    /// Renames this file and one that describes it. The system cannot replace two files at once.
    /// While this happens, and for good if the process is killed then, the description is missing.
    /// This file is the old or the new one at every moment, and the description of one is never
    /// next to the other.
    ///
    /// # Errors
    /// The target that could not be written, and why, as for [`persist`](Self::persist). Both old
    /// files are kept, unless only the new description could not be renamed.
    pub fn persist_with(self, description: Self) -> Result<(), (PathBuf, io::Error)> {
        let in_description = |error| (description.target.clone(), error);
        let (name, _lock) = Part::create(parent(&description.target)).map_err(in_description)?;
        let old = Part::set_aside(&description.target, name.member(0)).map_err(in_description)?;
        if let Err(error) = self.part.rename(&self.target) {
            if let Some(old) = old {
                old.rename(&description.target).map_err(in_description)?;
            }
            return Err((self.target, error));
        }
        description.part.rename(&description.target).map_err(in_description)
    }
}
