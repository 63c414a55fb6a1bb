//! A fuzz target as data.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

/// A reader of a file, with files to begin from.
pub struct Target {
    /// Its name, and that of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Further files to begin from.
    pub seeds: &'static [Seeds],
    /// Reads the bytes of a file. Returns texts of what it contains; none if it is refused. Panics
    /// if the contents break an invariant.
    pub read: fn(&[u8]) -> Vec<String>,
    /// Writes the checksums that a file should have, where it has any.
    pub correct: Option<fn(&mut [u8])>,
    /// Whether the checksums detect every flipped bit: what is read from a file with a flipped bit
    /// is a part of what is read from the file.
    pub detects_flips: bool,
    /// The most bytes of memory that reading this file may need.
    pub memory: fn(&[u8]) -> usize,
}

/// The files of a folder of the repository with this end of the name that begin with these bytes.
pub struct Seeds {
    /// The folder, from the root.
    pub folder: &'static str,
    /// The end of their names.
    pub suffix: &'static str,
    /// Their first bytes.
    pub start: &'static [u8],
    /// The most bytes of a file.
    pub most_bytes: u64,
}

/// The repository.
fn root() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().unwrap_or(folder)
}

impl Target {
    /// The folder of its corpus.
    #[must_use]
    pub fn corpus(&self) -> PathBuf {
        root().join("fuzz/corpus").join(self.name)
    }

    /// The folder where cargo-fuzz and `fuzz_mutate` write findings.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        root().join("fuzz/artifacts").join(self.name)
    }
}

impl Seeds {
    /// The files of a folder with this end of the name.
    #[must_use]
    pub const fn new(folder: &'static str, suffix: &'static str) -> Self {
        Self { folder, suffix, start: &[], most_bytes: 1 << 16 }
    }

    /// Only files that begin with these bytes.
    #[must_use]
    pub const fn starting(self, start: &'static [u8]) -> Self {
        Self { start, ..self }
    }

    /// The paths and contents of the files, in the order of their names.
    ///
    /// # Errors
    /// Of the file system.
    pub fn read(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Self::at(&root().join(self.folder), self.suffix, self.most_bytes)?;
        files.retain(|(_, bytes)| bytes.starts_with(self.start));
        Ok(files)
    }

    /// The files of a folder with this end of the name and at most this many bytes, in the order of
    /// their names.
    ///
    /// # Errors
    /// Of the file system.
    pub fn at(path: &Path, suffix: &str, most_bytes: u64) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let (path, metadata) = (entry.path(), entry.metadata()?);
            let is_named = entry.file_name().to_string_lossy().ends_with(suffix);
            if is_named && metadata.is_file() && metadata.len() <= most_bytes {
                files.push((path.clone(), fs::read(path)?));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Reads the files that the arguments name, and prints what each contains.
pub fn read_files(name: &str) -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let Some(target) = super::named(name).filter(|_| !paths.is_empty()) else {
        eprintln!("usage: {name} FILE...");
        return ExitCode::from(2);
    };
    for path in paths {
        match fs::read(&path) {
            Ok(bytes) => {
                let texts = (target.read)(&bytes);
                println!("{}: {} texts", path.display(), texts.len());
                texts.iter().for_each(|text| println!("    {text}"));
            }
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
