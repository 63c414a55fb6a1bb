//! The user's cache directory, and atomic file writes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// This crate's folder in the user's cache directory, by platform convention. `None` if the
/// environment defines no such directory.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    // Relative paths in these variables must be ignored (XDG Base Directory Specification).
    let variable =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        let xdg = if cfg!(target_os = "macos") { None } else { variable("XDG_CACHE_HOME") };
        xdg.or_else(|| Some(variable("HOME")?.join(below_home)))
    };
    Some(cache?.join("wgpu-bottleneck").join(name))
}

/// A file name from words, with a checksum of them, as different words may reduce to the same
/// letters.
pub(crate) fn file_name(words: &str, extension: &str) -> String {
    let letters: String = words
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    let mut joined = letters.split_whitespace().collect::<Vec<_>>().join("-");
    joined.truncate(100);
    format!("{joined}-{:08x}.{extension}", crc32fast::hash(words.as_bytes()))
}

/// Writes the parts to a temporary file next to the target, then renames it. Creates missing
/// folders.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = File::create(&part)
        .and_then(|mut file| {
            parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // Removes the partial file; an error here is ignored.
        let _ = fs::remove_file(&part);
    }
    written.map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_are_another_file() {
        let name = file_name("A/B (x) vulkan 1.2", "json");
        assert!(name.starts_with("a-b-x-vulkan-1-2-") && name.ends_with(".json"), "{name}");
        let long = "long ".repeat(99);
        for other in ["A B (x) vulkan 1.2", "A/B (x) vulkan 1 2", long.as_str(), "../.."]
            .map(|words| file_name(words, "json"))
        {
            assert!(other != name && other.len() < 128 && !other.contains(['/', '\\']), "{other}");
        }
    }
}
