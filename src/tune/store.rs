//! Where tables lie, and how they get there whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::{TunedDevice, TuningTable};
use crate::error::{Error, Result};
use crate::gpu::Gpu;

impl TuningTable {
    /// The place of a device's table in the user's cache directory: one file per device, API and driver. `None` where the
    /// environment does not say where the user keeps things.
    #[must_use]
    pub fn default_path(gpu: &Gpu) -> Option<PathBuf> {
        Some(cache_dir()?.join("wgpu-bottleneck").join("tuning").join(file_name(&TunedDevice::of(gpu))))
    }

    /// The table in a file, if there is one that can be used; what is wrong with one that cannot is said in the log, and it is
    /// as if it were not there.
    #[must_use]
    pub fn load(path: &Path, gpu: &Gpu) -> Option<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("{} is ignored: {error}", path.display());
                return None;
            }
        };
        Self::parse(&text, gpu).map_err(|error| tracing::warn!("{} is ignored: {error}", path.display())).ok()
    }

    /// Writes the table beside its place, then moves it there in one step. Makes the folders on the way.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = File::create(&beside)
            .and_then(|mut file| file.write_all(self.to_json().as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // What is half written is of no use to anyone, and what cannot be removed stays.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(io)
    }
}

/// The user's cache directory, as each system has it.
fn cache_dir() -> Option<PathBuf> {
    // Relative paths in these variables are to be ignored (XDG Base Directory Specification).
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let xdg = if cfg!(target_os = "macos") { None } else { variable("XDG_CACHE_HOME") };
    xdg.or_else(|| Some(variable("HOME")?.join(below_home)))
}

/// The device in words, and a checksum of them, since different ones may come down to the same letters.
fn file_name(device: &TunedDevice) -> String {
    let said = device.to_string();
    let letters: String =
        said.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    let mut words = letters.split_whitespace().collect::<Vec<_>>().join("-");
    words.truncate(100);
    format!("{words}-{:08x}.json", crc32fast::hash(said.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_per_device_and_driver() {
        let device = |name: &str, driver: &str| TunedDevice {
            name: name.to_owned(),
            backend: "vulkan".to_owned(),
            driver: driver.to_owned(),
            runtime_checks: false,
        };
        let name = file_name(&device("A/B (x)", "1.2"));
        assert!(name.starts_with("a-b-x-vulkan-1-2-") && name.ends_with(".json"), "{name}");
        let others = [device("A B (x)", "1.2"), device("A/B (x)", "1 2"), device(&"long ".repeat(99), "../..")];
        for other in others.map(|other| file_name(&other)) {
            assert!(other != name && other.len() < 128 && !other.contains(['/', '\\']), "{other}");
        }
    }
}
