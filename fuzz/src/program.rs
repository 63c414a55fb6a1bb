//! Files that the program writes, and reads when a run is resumed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::NamedTempFile;

use crate::cli::{fuzzed_journal, fuzzed_training};

/// A folder in memory, where there is one.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
});

/// Calls a function with the path of a temporary file of these bytes. The result is the default if
/// there is no place for the file.
pub fn in_file<T: Default>(bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let Ok(mut file) = NamedTempFile::new_in(&*FOLDER) else { return T::default() };
    let written = file.write_all(bytes);
    written.map_or_else(|_| T::default(), |()| read(file.path()))
}

/// Reads a journal of `embed`.
pub fn journal(bytes: &[u8]) -> Vec<String> {
    in_file(bytes, |path| fuzzed_journal(path).unwrap_or_default())
}

/// Reads a checkpoint of `train`.
pub fn checkpoint(bytes: &[u8]) -> Vec<String> {
    in_file(bytes, |path| texts(fuzzed_training::checkpoint(path)))
}

/// Reads an image list of `train`.
pub fn image_list(bytes: &[u8]) -> Vec<String> {
    in_file(bytes, |path| texts(fuzzed_training::image_list(path)))
}

/// The texts; none for an error, whose text is made too.
fn texts<E: ToString>(found: Result<Vec<String>, E>) -> Vec<String> {
    found.unwrap_or_else(|error| {
        assert!(!error.to_string().is_empty());
        Vec::new()
    })
}
