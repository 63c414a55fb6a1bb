//! Where tables are stored, and writing them atomically.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{TunedDevice, TuningTable};
use crate::error::Result;
use crate::gpu::{Gpu, user_cache};

impl TuningTable {
    /// The path of a device's table in the user's cache directory: one file per device, API and
    /// driver. `None` if the environment defines no such directory.
    #[must_use]
    pub fn default_path(gpu: &Gpu) -> Option<PathBuf> {
        let name = user_cache::file_name(&TunedDevice::of(gpu).to_string(), "json");
        Some(user_cache::folder("tuning")?.join(name))
    }

    /// Loads the table from a file, if there is one that can be used. Problems with an unusable
    /// file are logged, and the file is ignored. On Unix, a file in the user's cache directory
    /// whose owner is not the effective user is ignored too.
    #[must_use]
    pub fn load(path: &Path, gpu: &Gpu) -> Option<Self> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("{} is ignored: {error}", path.display());
                return None;
            }
        };
        Self::parse(&text, gpu)
            .map_err(|error| tracing::warn!("{} is ignored: {error}", path.display()))
            .ok()
    }

    /// Writes the table to a temporary file next to the target, then renames it. Creates missing
    /// folders. A symbolic link is followed; it is an error if it leads to a missing folder or back
    /// to itself.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save(&self, path: &Path) -> Result<()> {
        user_cache::write_whole(path, &[self.to_json().as_bytes()])
    }
}

/// The text of a table. In the cache, another user's file is refused. Elsewhere, a table may be
/// another user's: it only selects among the candidates of this crate.
fn read(path: &Path) -> io::Result<String> {
    let is_cached = user_cache::contains(path);
    io::read_to_string(if is_cached { user_cache::open_own(path)? } else { File::open(path)? })
}
