//! Which files are embedded, and what they are called.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::rows;
use super::shard::Shard;
use crate::cli::error::CliError;
use crate::cli::pictures;

/// The files, in the order of the rows.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    /// What they are called in the rows.
    pub names: Vec<String>,
}

impl Files {
    /// Those of a shard. The program's `own` files are none of them: they may lie in a folder of pictures.
    pub fn find(paths: &[PathBuf], own: &[PathBuf], shard: Option<Shard>) -> Result<Self, CliError> {
        let mut paths = pictures::find(paths)?;
        paths.retain(|path| !own.iter().any(|own| is_same(path, own)));
        let all: Vec<String> = paths.iter().map(|path| rows::name(path)).collect();
        let mut seen = HashSet::new();
        if let Some(twice) = all.iter().find(|name| !seen.insert(*name)) {
            return Err(CliError::Usage(format!("{twice}: there are two files of this name, once bytes are escaped")));
        }
        let shard = shard.unwrap_or_default();
        let held = paths.into_iter().zip(all).enumerate().filter(|(index, _)| shard.holds(*index));
        let (paths, names) = held.map(|(_, file)| file).unzip();
        Ok(Self { paths, names })
    }

    /// Names and paths of those that are wanted.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> (Vec<String>, Vec<PathBuf>) {
        let both = self.names.iter().zip(&self.paths).filter(|(name, _)| wanted(name));
        both.map(|(name, path)| (name.clone(), path.clone())).unzip()
    }
}

/// Whether both are one place in one folder. The files need not be there.
fn is_same(path: &Path, other: &Path) -> bool {
    let folder = |path: &Path| fs::canonicalize(crate::cli::files::parent(path)).ok();
    path.file_name() == other.file_name() && folder(path).is_some_and(|found| folder(other) == Some(found))
}
