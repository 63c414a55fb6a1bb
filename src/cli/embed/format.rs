//! The files that embeddings are written to. Each holds the rows in order, the [`Fingerprint`] and
//! a [`Checksum`] of the rows, and can be read back.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;
use super::rows::{Checksum, Row, Rows, damaged};
use super::{npy, parquet, safetensors};
use crate::cli::error::CliError;
use crate::cli::files::OutputFile;
use crate::cli::input_file;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Parquet,
    Npy,
    Safetensors,
}

impl Format {
    /// The format of a file extension.
    fn of(path: &Path) -> Result<Self, CliError> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("parquet") => Ok(Self::Parquet),
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => {
                let why = "the output must end in .parquet, .npy or .safetensors";
                Err(CliError::Usage(format!("{}: {why}", path.display())))
            }
        }
    }
}

/// The output: a file, and for .npy a file of names next to it.
#[derive(Debug)]
pub struct Output {
    /// The file as it was named.
    pub name: PathBuf,
    format: Format,
    file: OutputFile,
    names: Option<OutputFile>,
}

impl Output {
    /// Checks that the files can be written and are none of `inputs`.
    pub fn check(path: &Path, inputs: &[&Path]) -> Result<Self, CliError> {
        let format = Format::of(path)?;
        let file = OutputFile::check(path, inputs)?;
        let names = match format {
            Format::Npy => Some(OutputFile::check(&npy::names_path(file.path()), inputs)?),
            _ => None,
        };
        if let Some(names) = names.as_ref().filter(|names| names.is_same(&file)) {
            let (path, names) = (path.display(), names.path().display());
            return Err(CliError::Usage(format!(
                "{path}: the file of names would replace it, as both lead to {names}: remove the \
                link, or choose another --out"
            )));
        }
        Ok(Self { name: path.to_owned(), format, file, names })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether the file exists already.
    pub fn is_present(&self) -> bool {
        self.file.is_present()
    }

    /// The files of a run: the output's, and the journal's.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.path().to_owned()];
        files.extend(self.names.as_ref().map(|names| names.path().to_owned()));
        files.push(self.journal());
        files
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.hidden(".journal")
    }

    /// A hidden file next to the output.
    fn hidden(&self, extension: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path().file_name().unwrap_or_default());
        name.push(extension);
        self.path().with_file_name(name)
    }

    /// Checks that this many names fit into a file.
    pub fn check_names(&self, names: &[String]) -> Result<(), CliError> {
        match self.format {
            Format::Safetensors => safetensors::check_names(names),
            Format::Parquet | Format::Npy => Ok(()),
        }
    }

    /// Writes all rows, each file atomically.
    pub fn write(&self, about: &Fingerprint, rows: &dyn Rows) -> Result<(), CliError> {
        let staged = |extension| self.hidden(extension).file_name().unwrap_or_default().to_owned();
        let mut checksum = String::new();
        let vectors = self.file.stage_named(&staged(".new"), |file| {
            checksum = match self.format {
                Format::Parquet => parquet::write(file, about, rows)?,
                Format::Npy => npy::write(file, about, rows)?,
                Format::Safetensors => safetensors::write(file, about, rows)?,
            };
            Ok(())
        })?;
        let Some(names) = &self.names else { return vectors.persist() };
        let names = names.stage_named(&staged(".json.new"), |file| {
            npy::write_names(file, about, rows, &checksum)
        })?;
        // The two files cannot be replaced at once: the old vectors are removed first, so that they
        // are never next to new names.
        if let Err(error) = std::fs::remove_file(self.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(CliError::io(self.path(), error));
        }
        names.persist()?;
        vectors.persist()
    }

    /// Reads the rows of an earlier run, whose fingerprint must be `about`.
    pub fn read(
        &self,
        about: &Fingerprint,
        mut visit: impl FnMut(Row) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let io = |source| CliError::io(self.path(), source);
        let stored = match self.format {
            Format::Parquet => input_file::open(self.path()).and_then(parquet::read),
            Format::Npy => npy::read(self.path()),
            Format::Safetensors => input_file::open(self.path()).and_then(safetensors::read),
        };
        let stored = stored.map_err(io)?;
        about.check(self.path(), &stored.about)?;
        let mut checksum = Checksum::default();
        for row in stored.rows {
            let row = row.map_err(io)?;
            if !row.fits(about.length) {
                return Err(io(damaged(format!(
                    "the file is damaged: the vector of {} is invalid",
                    row.path
                ))));
            }
            checksum.add(&row).map_err(io)?;
            visit(row)?;
        }
        checksum.check(&stored.checksum).map_err(io)
    }
}
