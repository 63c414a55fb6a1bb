//! Where tables are stored, and writing them atomically.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{TunedDevice, TuningTable};
use crate::error::Result;
use crate::gpu::{Gpu, user_cache};
use crate::input_file::{self, Refused};

/// The maximum length of a table in bytes. A table of all of torchvision's shapes has some hundred
/// kilobytes.
const MAX_BYTES: u64 = 64 << 20;

impl TuningTable {
    /// The path of a device's table in the user's cache directory: one file per device, API and
    /// driver. `None` if the environment defines no such directory.
    #[must_use]
    pub fn default_path(gpu: &Gpu) -> Option<PathBuf> {
        let name = user_cache::file_name(&TunedDevice::of(gpu).to_string(), "json");
        Some(user_cache::folder("tuning")?.join(name))
    }

    /// Loads the table from a file, if there is one that can be used. Problems with an unusable
    /// file (also one that is not a regular file, or has more than 64 MiB) are logged, and the file
    /// is ignored.
    #[must_use]
    pub fn load(path: &Path, gpu: &Gpu) -> Option<Self> {
        let read = input_file::read(path, MAX_BYTES).and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error).into())
        });
        let text = match read {
            Ok(text) => text,
            Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => return None,
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
    /// folders.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save(&self, path: &Path) -> Result<()> {
        user_cache::write_whole(path, &[self.to_json().as_bytes()])
    }
}
