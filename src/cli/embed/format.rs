//! The files that embeddings are written to. Each holds the rows in order, the [`Fingerprint`] and
//! a [`Checksum`] of the rows, and can be read back.

use std::ffi::OsString;
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

    /// Writes all rows, each file atomically. If the process is killed between the two renames of
    /// .npy, the file of names is missing, and the journal has all rows.
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
        vectors.persist_with(names)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// Writes one row as a .npy file.
    fn write(output: &Output, about: &Fingerprint, value: f32) -> Result<(), CliError> {
        let rows = [Row { path: "a".to_owned(), stamp: None, outcome: Ok(vec![value]) }];
        output.write(about, &&rows[..])
    }

    /// The value of the row.
    fn value(output: &Output, about: &Fingerprint) -> Result<f32, CliError> {
        let mut value = f32::NAN;
        output.read(about, |row| {
            value = row.outcome.map_or(f32::NAN, |vector| vector[0]);
            Ok(())
        })?;
        Ok(value)
    }

    #[test]
    fn both_files_are_kept_if_one_cannot_be_replaced() -> Outcome {
        let folder = tempfile::tempdir()?;
        let about = Fingerprint::of_length(1);
        let (vectors, names) = (folder.path().join("x.npy"), folder.path().join("x.npy.json"));
        let output = Output::check(&vectors, &[])?;
        write(&output, &about, 1.0)?;
        write(&output, &about, 2.0)?;
        assert_eq!(value(&output, &about)?, 2.0);
        let aside = folder.path().join("aside");
        for blocked in [&vectors, &names] {
            // A folder in the place of a file, from now on.
            fs::rename(blocked, &aside)?;
            fs::create_dir(blocked)?;
            let error = write(&output, &about, 3.0).err().map(|error| error.to_string());
            let shown = format!("{}: ", blocked.display());
            assert!(error.as_ref().is_some_and(|text| text.starts_with(&shown)), "{error:?}");
            fs::remove_dir(blocked)?;
            fs::rename(&aside, blocked)?;
            assert_eq!(value(&output, &about)?, 2.0, "{}", blocked.display());
        }
        assert_eq!(fs::read_dir(folder.path())?.count(), 2);
        Ok(())
    }

    /// The states in which a killed process may leave the files.
    #[test]
    fn one_file_of_a_pair_is_refused() -> Outcome {
        let folder = tempfile::tempdir()?;
        let about = Fingerprint::of_length(1);
        let path = folder.path().join("x.npy");
        let output = Output::check(&path, &[])?;
        write(&output, &about, 1.0)?;
        let names = npy::names_path(&path);
        let old = fs::read(&names)?;
        fs::remove_file(&names)?;
        let error = value(&output, &about).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("x.npy.json")));
        write(&output, &about, 2.0)?;
        fs::write(&names, old)?;
        let error = value(&output, &about).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("checksum")));
        write(&output, &about, 3.0)?;
        assert_eq!(value(&output, &about)?, 3.0);
        Ok(())
    }
}
