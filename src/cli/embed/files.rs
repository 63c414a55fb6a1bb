//! The files to embed, and their names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::rows::Stamp;
use super::shard::Shard;
use crate::cli::error::CliError;
use crate::cli::image_files;

/// The files, in the order of the rows.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    /// Their names in the rows.
    pub names: Vec<String>,
    /// Sizes and modification times, taken before the files are read: a file that changes in the
    /// meantime is recomputed by the next run.
    stamps: Vec<Option<Stamp>>,
}

impl Files {
    /// Finds the files of a shard. The program's `own` files are left out: they may be in a folder
    /// of images.
    pub fn find(
        paths: &[PathBuf],
        own: &[PathBuf],
        shard: Option<Shard>,
    ) -> Result<Self, CliError> {
        let mut paths = image_files::find(paths)?;
        paths.retain(|path| !own.iter().any(|own| is_same(path, own)));
        let all: Vec<String> = paths.iter().map(image_files::text).collect();
        let mut seen = HashSet::new();
        if let Some(twice) = all.iter().find(|name| !seen.insert(*name)) {
            return Err(CliError::Usage(format!(
                "{twice}: two files have this name after bytes are escaped"
            )));
        }
        let shard = shard.unwrap_or_default();
        let held = paths.into_iter().zip(all).enumerate().filter(|(index, _)| shard.holds(*index));
        let (paths, names): (Vec<PathBuf>, Vec<String>) = held.map(|(_, file)| file).unzip();
        let stamps = paths.iter().map(|path| Stamp::of(path)).collect();
        Ok(Self { paths, names, stamps })
    }

    /// Each file's name and stamp.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<Stamp>)> {
        self.names.iter().map(String::as_str).zip(self.stamps.iter().copied())
    }

    /// The files that `wanted` selects.
    pub fn only(&self, wanted: impl Fn(&str, Option<Stamp>) -> bool) -> Self {
        let held: Vec<usize> = self
            .iter()
            .enumerate()
            .filter(|(_, (name, stamp))| wanted(name, *stamp))
            .map(|(index, _)| index)
            .collect();
        Self {
            paths: held.iter().map(|&index| self.paths[index].clone()).collect(),
            names: held.iter().map(|&index| self.names[index].clone()).collect(),
            stamps: held.iter().map(|&index| self.stamps[index]).collect(),
        }
    }

    /// Their paths.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The size and time of modification of the file with this index.
    pub fn stamp(&self, index: usize) -> Option<Stamp> {
        self.stamps[index]
    }
}

/// Whether both are the same name in the same folder. The files need not exist.
fn is_same(path: &Path, other: &Path) -> bool {
    let folder = |path: &Path| fs::canonicalize(crate::cli::files::parent(path)).ok();
    path.file_name() == other.file_name()
        && folder(path).is_some_and(|found| folder(other) == Some(found))
}
