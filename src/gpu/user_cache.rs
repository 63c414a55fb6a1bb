//! The user's cache directory, and its files.

#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result as CrateResult};
use crate::files;
use crate::input_file::{self, Refused};

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

/// Reads a file of at most `limit` bytes whose contents must be trusted. On Unix, a file whose
/// owner is not the effective user is refused.
///
/// # Errors
/// As [`input_file::read`], and [`std::io::ErrorKind::PermissionDenied`] for another user's file.
pub(crate) fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    input_file::read_if(path, limit, |about| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            // SAFETY: geteuid has no arguments, cannot fail and does not access memory.
            check_owner(about.uid(), unsafe { libc::geteuid() })?;
        }
        let _ = about;
        Ok(())
    })
}

/// Refuses a file of another user.
#[cfg(unix)]
fn check_owner(owner: u32, user: u32) -> io::Result<()> {
    if owner == user {
        return Ok(());
    }
    let why = format!(
        "it belongs to user {owner}, and this process runs as user {user}: delete the file, or \
        change its owner"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// Whether a path begins with this crate's folder of the user's cache directory, as [`folder`]
/// returns it. Links and `..` are not resolved: other paths to its files are not recognised.
pub(crate) fn contains(path: &Path) -> bool {
    folder("").is_some_and(|folder| path.starts_with(folder))
}

/// Writes the parts to a temporary file next to the target, then renames it. Creates missing
/// folders. [`files::follow`] has the rule for links.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> CrateResult<()> {
    files::write(path, parts).map_err(|source| Error::Io { path: path.to_owned(), source })
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

    #[cfg(unix)]
    #[test]
    fn only_own_files_are_read() -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        std::fs::write(&path, "text")?;
        let user = std::fs::metadata(&path)?.uid();
        assert!(read_own(&path, 9).is_ok() && check_owner(user, user).is_ok());
        let error = check_owner(user + 1, user).err();
        assert!(error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied));
        // Only root can give a file to another user.
        if std::os::unix::fs::chown(&path, Some(user + 1), None).is_ok() {
            let error = read_own(&path, 9).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.starts_with("it belongs to user")));
        }
        Ok(())
    }
}
