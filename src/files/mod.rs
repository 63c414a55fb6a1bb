//! Atomic writes of files. A file is written under a temporary name in the folder of the target,
//! and then renamed. The target is always the old file or the complete new one, however the process
//! ends.
//!
//! The program and the cache files of the library use this module. It is not part of the public API
//! and can change in any version.
//!
//! # Temporary files
//!
//! A temporary file is named `.bottleneck-PROCESS-NUMBER.part`. The process that writes it holds a
//! lock on it until it is renamed or removed. The operating system releases the lock when the
//! process ends, even if it is killed. So a temporary file that can be locked belongs to a dead
//! process, and [`remove_stale`] removes it. Each write first removes the stale files of its
//! folder, so the files of killed runs do not accumulate. Runs that write to one folder at the same
//! time do not remove each other's files. If the file system has no locks, nothing is removed.
//!
//! Files that are renamed together share one lock, because the number of open files is limited: see
//! [`Group`].
//!
//! # Links
//!
//! A symbolic link is followed, and never replaced by a file: see [`follow`].

mod group;
mod irregular;
mod links;
mod part;
mod staged;
mod stale;

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

pub use group::Group;
pub use irregular::NotRegular;
pub use links::{follow, parent};
pub use part::is_same;
pub use staged::Staged;
pub use stale::remove_stale;

/// Writes a file. It keeps the permissions of an existing file. Missing folders are created.
///
/// # Errors
/// An I/O error of the system; the errors of [`follow`]; an error if the path is not a regular
/// file.
pub fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    fs::create_dir_all(parent(path))?;
    let target = follow(path)?;
    let permissions = permissions(&target)?;
    Staged::write(&target, permissions, |file| {
        parts.iter().try_for_each(|part| file.write_all(part))
    })?
    .persist()
}

/// The permissions of an existing file.
fn permissions(target: &Path) -> io::Result<Option<Permissions>> {
    match fs::metadata(target) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.permissions())),
        Ok(found) => Err(io::Error::new(ErrorKind::InvalidInput, NotRegular::of(&found))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn names(folder: &Path) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        let mut names: Vec<String> =
            entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/folder/file");
        write(&path, &[b"first ", b"text"])?;
        write(&path, &[b"second"])?;
        assert_eq!(fs::read(&path)?, b"second");
        assert_eq!(names(parent(&path))?, ["file"]);
        let failed = Staged::write(&path, None, |file| {
            file.write_all(b"a half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.is_err_and(|error| error.to_string() == "the disk is full"));
        assert_eq!(
            (fs::read(&path)?, names(parent(&path))?),
            (b"second".to_vec(), vec!["file".to_owned()])
        );
        // A folder is not replaced.
        assert!(write(parent(&path), &[b"text"]).is_err());
        Ok(())
    }

    #[test]
    fn stale_files_are_removed_and_living_ones_kept() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        // Dead: a single file, a group, and members whose lock file is missing. The others have
        // other names.
        let dead = [
            ".bottleneck-12-345.part",
            ".bottleneck-12-346.part",
            ".bottleneck-12-346-0.part",
            ".bottleneck-12-346-11.part",
            ".bottleneck-13-1-0.part",
        ];
        let others = [
            ".bottleneck-1-2-3-4.part",
            ".bottleneck-1.part",
            ".bottleneck-Ab12cd",
            ".bottleneck-a-b.part",
            ".bottleneck-01-2.part",
            ".bottleneck-+1-2.part",
            ".bottleneck-1-2.part.txt",
            "bottleneck-1-2.part",
        ];
        for name in dead.iter().chain(&others) {
            fs::write(path(name), "left")?;
        }
        fs::create_dir(path(".bottleneck-7-7.part"))?;
        let living = Staged::write(&path("living"), None, |file| file.write_all(b"living"))?;
        let mut group = Group::begin(folder.path())?;
        for name in ["a", "b"] {
            group.stage(&path(name), None, name.as_bytes())?;
        }
        for name in dead {
            assert!(!path(name).exists(), "{name}");
            fs::write(path(name), "left")?;
        }
        remove_stale(folder.path());
        living.persist()?;
        group.persist().map_err(|(path, error)| format!("{}: {error}", path.display()))?;
        let mut expected = [&others[..], &[".bottleneck-7-7.part", "a", "b", "living"]].concat();
        expected.sort_unstable();
        assert_eq!(names(folder.path())?, expected);
        Ok(())
    }

    /// The name of a group's locked file is made from the name of a member, so it is checked too.
    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_opened_and_removed() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text")?;
        for (name, to) in [(".bottleneck-5-6.part", "/dev/null"), (".bottleneck-5-7.part", "file")]
        {
            std::os::unix::fs::symlink(to, path(name))?;
        }
        let made = std::process::Command::new("mkfifo").arg(path(".bottleneck-5-8.part")).status();
        assert!(made?.success());
        for group in 6..9 {
            fs::write(path(&format!(".bottleneck-5-{group}-0.part")), "left")?;
        }
        let before = names(folder.path())?;
        assert_eq!(before.len(), 7);
        remove_stale(folder.path());
        assert_eq!(names(folder.path())?, before);
        Ok(())
    }

    #[test]
    fn a_dropped_group_leaves_nothing() -> Outcome {
        let folder = tempfile::tempdir()?;
        let mut group = Group::begin(folder.path())?;
        group.stage(&folder.path().join("a"), None, b"a")?;
        assert_eq!(names(folder.path())?.len(), 2);
        drop(group);
        assert_eq!(names(folder.path())?, [""; 0]);
        Ok(())
    }

    /// Threads that write and clean in one folder at the same time: each write succeeds.
    #[test]
    fn concurrent_writers_do_not_remove_each_others_files() -> Outcome {
        let folder = tempfile::tempdir()?;
        let write_often = |thread: usize| -> io::Result<()> {
            for round in 0..50 {
                let path = folder.path().join(format!("{}", round % 3));
                write(&path, &[format!("{thread} {round}").as_bytes()])?;
                remove_stale(folder.path());
            }
            Ok(())
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|thread| scope.spawn(move || write_often(thread))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for result in results {
            result.map_err(|_| "a thread panicked")??;
        }
        assert_eq!(names(folder.path())?, ["0", "1", "2"]);
        Ok(())
    }
}
