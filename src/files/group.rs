//! Many files that are renamed together.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::part::{Name, Part, fill};
use super::stale::remove_stale;

/// Complete files under temporary names in one folder. Only one file is open: an empty, locked file
/// that is created before the others and removed after them. Dropping the group removes all of its
/// files.
#[derive(Debug)]
pub struct Group {
    // Dropped before the locked file.
    members: Vec<(Part, PathBuf)>,
    name: Name,
    folder: PathBuf,
    _locked: Part,
}

impl Group {
    /// A group without files. Removes stale files of the folder.
    ///
    /// # Errors
    /// An I/O error of the system.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        remove_stale(folder);
        let (name, locked) = Part::create(folder)?;
        Ok(Self { members: Vec::new(), name, folder: folder.to_owned(), _locked: locked })
    }

    /// Adds a file. The target must be in the folder of the group, and must not be a link.
    ///
    /// # Errors
    /// An I/O error of the system.
    pub fn stage(
        &mut self,
        target: &Path,
        permissions: Option<Permissions>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let index = u32::try_from(self.members.len()).map_err(io::Error::other)?;
        let (part, mut file) = Part::of_group(&self.folder, self.name.member(index))?;
        fill(&mut file, permissions, |file| file.write_all(bytes))?;
        self.members.push((part, target.to_owned()));
        Ok(())
    }

    /// Renames the files to their final names, in order.
    ///
    /// # Errors
    /// The first target that could not be written, and the I/O error.
    pub fn persist(mut self) -> Result<(), (PathBuf, io::Error)> {
        for (part, target) in self.members.drain(..) {
            part.rename(&target).map_err(|error| (target, error))?;
        }
        Ok(())
    }
}
