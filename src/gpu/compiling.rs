//! A marker file that stands while the driver compiles kernels. If it is found at the next start,
//! the process has died meanwhile: the driver may have crashed on its cached pipelines.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The marker of this process, which holds a lock on it. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Compiling {
    path: PathBuf,
    _locked: File,
}

impl Compiling {
    /// Creates the marker next to a cache file. `None` if it exists, because another process
    /// compiles, or cannot be created.
    pub fn begin(pipelines: &Path) -> Option<Self> {
        let path = path(pipelines);
        fs::create_dir_all(path.parent()?).ok()?;
        let file = File::create_new(&path).ok()?;
        // Without locks, every marker counts as one of a dead process.
        let _ = file.try_lock();
        Some(Self { path, _locked: file })
    }

    /// Whether a process died while it compiled. Removes its marker.
    pub fn was_interrupted(pipelines: &Path) -> bool {
        let path = path(pipelines);
        // Not a link or a pipe, which would not open.
        let is_file = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file());
        let dead = |file: File| !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock));
        is_file && File::open(&path).is_ok_and(dead) && fs::remove_file(&path).is_ok()
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn path(pipelines: &Path) -> PathBuf {
    pipelines.with_extension("compiling")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_process_was_interrupted() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let pipelines = folder.path().join("new/driver.bin");
        assert!(!Compiling::was_interrupted(&pipelines));
        let compiling = Compiling::begin(&pipelines);
        assert!(compiling.is_some());
        assert!(!Compiling::was_interrupted(&pipelines), "this process compiles");
        assert!(Compiling::begin(&pipelines).is_none());
        drop(compiling);
        assert!(!path(&pipelines).exists());
        fs::write(path(&pipelines), "")?;
        assert!(Compiling::was_interrupted(&pipelines), "nobody holds the lock");
        assert!(!Compiling::was_interrupted(&pipelines), "once");
        Ok(())
    }
}
