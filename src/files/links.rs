//! Symbolic links as outputs.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The largest number of links that are followed, as on Linux.
const MOST_LINKS: usize = 40;

/// The file to write for a path. This is the rule for every output:
///
/// - A link to an existing file is followed: that file is replaced, and the link stays.
/// - A link to a file that does not exist, in a folder that exists, is followed: the file is
///   created, and the link stays.
/// - Any other link is an error: its folder does not exist, or it leads back to itself.
///
/// A path that is not a link is returned unchanged if it does not exist, and otherwise as an
/// absolute path.
///
/// # Errors
/// An I/O error of the system, and the errors above.
pub fn follow(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(_) => fs::canonicalize(path),
        Err(error) => follow_dangling(path, error),
    }
}

/// Follows a path that could not be opened because of `error`.
fn follow_dangling(path: &Path, error: io::Error) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for links in 0..MOST_LINKS {
        if !target.is_symlink() {
            return match (error.kind(), links) {
                (ErrorKind::NotFound, 0) => Ok(target),
                (ErrorKind::NotFound, _) if parent(&target).is_dir() => Ok(target),
                (ErrorKind::NotFound, _) => Err(io::Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "a symbolic link to {}, in a folder that does not exist: create the \
                        folder, or choose another output",
                        target.display()
                    ),
                )),
                _ => Err(error),
            };
        }
        target = parent(&target).join(fs::read_link(&target)?);
    }
    let why = "a symbolic link that leads back to itself: remove it, or choose another output";
    Err(io::Error::new(ErrorKind::InvalidInput, why))
}

/// The folder of a file; `.` if the path is a bare name.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::files::write;

    #[test]
    fn links_are_followed_or_refused() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let real = folder.path().canonicalize()?;
        let path = |name: &str| real.join(name);
        fs::create_dir(path("folder"))?;
        fs::write(path("file"), "old")?;
        for (link, target) in [
            ("good", "file"),
            ("twice", "good"),
            ("up", "folder/../file"),
            ("dangling", "folder/new"),
            ("dangling twice", "dangling"),
            ("nowhere", "missing/new"),
            ("loop", "loop"),
            ("long loop", "other loop"),
            ("other loop", "long loop"),
            ("to a folder", "folder"),
        ] {
            symlink(target, path(link))?;
        }
        let followed = |name: &str| follow(&path(name)).map_err(|error| error.to_string());
        for name in ["file", "good", "twice", "up"] {
            assert_eq!(followed(name), Ok(path("file")), "{name}");
        }
        for name in ["dangling", "dangling twice"] {
            assert_eq!(followed(name), Ok(path("folder/new")), "{name}");
        }
        // These are not links.
        for name in ["new", "missing/new"] {
            assert_eq!(followed(name), Ok(path(name)), "{name}");
        }
        for (name, why) in [
            ("nowhere", "missing/new, in a folder that does not exist"),
            ("loop", "leads back to itself"),
            ("long loop", "leads back to itself"),
        ] {
            assert!(followed(name).is_err_and(|error| error.contains(why)), "{name}");
        }
        for name in ["twice", "dangling twice"] {
            write(&path(name), &[name.as_bytes()])?;
        }
        for name in ["nowhere", "loop", "to a folder"] {
            assert!(write(&path(name), &[b"text"]).is_err(), "{name}");
        }
        for name in ["good", "twice", "dangling", "dangling twice", "nowhere", "loop"] {
            assert!(path(name).is_symlink(), "{name}");
        }
        assert_eq!(fs::read(path("file"))?, b"twice");
        assert_eq!(fs::read(path("folder/new"))?, b"dangling twice");
        Ok(())
    }
}
