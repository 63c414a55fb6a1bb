//! Where tables are stored, and writing them atomically.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{TunedDevice, TuningTable};
use crate::error::Result as CrateResult;
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

    /// Loads the table from a file, if the file exists and can be used. An unusable file is logged
    /// and ignored. This includes a file that is not regular or has more than 64 MiB. On Unix, it
    /// includes a file whose owner is not the effective user, if the path begins with the user's
    /// cache directory, like [`TuningTable::default_path`].
    #[must_use]
    pub fn load(path: &Path, gpu: &Gpu) -> Option<Self> {
        let text = match read(path) {
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
    /// folders. A symbolic link is followed; it is an error if it leads to a missing folder or back
    /// to itself.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save(&self, path: &Path) -> CrateResult<()> {
        user_cache::write_whole(path, &[self.to_json().as_bytes()])
    }
}

/// The text of a table. At a path in the cache, a file of another user is refused. Elsewhere, it is
/// accepted, because a table only selects among the candidates of this crate.
fn read(path: &Path) -> Result<String, Refused> {
    let bytes = match user_cache::contains(path) {
        true => user_cache::read_own(path, MAX_BYTES)?,
        false => input_file::read(path, MAX_BYTES)?,
    };
    let not_text = |error| io::Error::new(ErrorKind::InvalidData, error);
    Ok(String::from_utf8(bytes).map_err(not_text)?)
}
