//! The lock of an output folder: one run at a time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use wgpu_bottleneck::files::is_same;

use super::super::error::CliError;
use super::super::files::{OutputFolder, open_and_lock};
use super::super::output;
use super::files::refuse_used;

/// The file that is locked. It may remain after the process ends.
const NAME: &str = "train.lock";

/// A locked folder. Dropping this value unlocks it.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Locks a folder; `None` if there is no such folder.
    pub fn of(folder: &Path) -> Result<Option<Self>, CliError> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let path = folder.join(NAME);
        let io = |source| CliError::io(&path, source);
        loop {
            let (file, locked) = open_and_lock(&path).map_err(io)?;
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(CliError::Usage(format!(
                        "{}: another run is writing to this folder: wait until it ends, or choose \
                        another --out",
                        folder.display()
                    )));
                }
                Err(TryLockError::Error(error)) => output::progress(&format!(
                    "warning: {} cannot be locked ({error}): do not start a second run",
                    folder.display()
                )),
            }
            // The run before removes its file when it ends, maybe after this one has opened it.
            if is_same(&file, fs::metadata(&path)).map_err(io)? {
                return Ok(Some(Self { file, path }));
            }
        }
    }
}

/// Creates and locks a folder that did not exist when the run began. If another run has used it in
/// the meantime, this is the error for a new run, also if the run resumes: it looked for the
/// files of a run before they were there.
pub fn create_and_lock(folder: &Path) -> Result<Option<Lock>, CliError> {
    OutputFolder::check(folder)?.create()?;
    let lock = Lock::of(folder)?;
    refuse_used(folder, false)?;
    Ok(lock)
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked; elsewhere than on Unix an open file cannot be removed for sure. An
        // empty file that stays locks nothing.
        if cfg!(unix) && self.file.metadata().is_ok_and(|about| about.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::CHECKPOINT;
    use super::*;

    #[test]
    fn a_folder_is_locked_once_at_a_time() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        assert!(Lock::of(&folder.path().join("none"))?.is_none());
        let lock = Lock::of(folder.path())?;
        assert!(lock.is_some());
        let error = Lock::of(folder.path()).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("another run")));
        drop(lock);
        assert_eq!(folder.path().join(NAME).exists(), cfg!(not(unix)));
        // What a killed run leaves is no obstacle.
        fs::write(folder.path().join(NAME), "")?;
        assert!(Lock::of(folder.path())?.is_some());
        Ok(())
    }

    /// Two runs that begin when the folder does not exist: neither is locked at first.
    #[test]
    fn a_folder_that_another_run_has_used_in_the_meantime_is_refused()
    -> Result<(), Box<dyn std::error::Error>> {
        let parent = tempfile::tempdir()?;
        let folder = parent.path().join("new");
        let lock = create_and_lock(&folder)?;
        assert!(lock.is_some() && folder.is_dir());
        let refused = || create_and_lock(&folder).err().map(|error| error.to_string());
        assert!(refused().is_some_and(|error| error.contains("another run")));
        fs::write(folder.join(CHECKPOINT), "")?;
        drop(lock);
        assert!(refused().is_some_and(|error| error.contains("already exists: --resume")));
        fs::remove_file(folder.join(CHECKPOINT))?;
        fs::write(folder.join("config.json"), "{}")?;
        assert!(refused().is_some_and(|error| error.contains("choose another --out")));
        fs::remove_file(folder.join("config.json"))?;
        assert!(create_and_lock(&folder)?.is_some());
        Ok(())
    }
}
