//! Folders of images, one per class.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::image_files;
use super::super::output;

/// The folder of metadata that macOS adds to ZIP archives.
const OF_MACOS: &str = "__MACOSX";
/// The maximum number of folders that a message names.
const NAMED: usize = 20;

/// The classes in a folder and their images.
#[derive(Debug)]
pub struct Folders {
    folder: PathBuf,
    /// The names of the classes, sorted by the bytes of the folder names. Bytes that are not UTF-8
    /// are escaped.
    pub classes: Vec<String>,
    /// The path of each image within the folder, and its class.
    pub images: Vec<(PathBuf, usize)>,
    /// Folders that are not classes.
    no_classes: Vec<String>,
    /// The number of files that are not images.
    others: usize,
}

impl Folders {
    /// Finds the classes and their images.
    pub fn find(folder: &Path) -> Result<Self, CliError> {
        let io = |source| CliError::io(folder, source);
        let mut names: Vec<OsString> = Vec::new();
        let mut found = Self {
            folder: folder.to_owned(),
            classes: Vec::new(),
            images: Vec::new(),
            no_classes: Vec::new(),
            others: 0,
        };
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if !entry.path().is_dir() {
                continue;
            }
            match entry.file_name() {
                name if image_files::is_hidden(&entry) || name == OF_MACOS => {
                    found.no_classes.push(image_files::text(name));
                }
                name => names.push(name),
            }
        }
        names.sort();
        let mut seen = HashSet::new();
        for name in names {
            let within = image_files::below(&folder.join(&name), &[folder])?;
            found.others += within.others;
            let name = image_files::text(name);
            if within.files.is_empty() {
                found.no_classes.push(name);
                continue;
            }
            if !seen.insert(name.clone()) {
                return Err(CliError::Usage(format!(
                    "{}: two classes are called {name} after bytes are escaped: rename one of them",
                    folder.display()
                )));
            }
            let class = found.classes.len();
            let inside =
                |path: &PathBuf| (path.strip_prefix(folder).unwrap_or(path).to_owned(), class);
            found.images.extend(within.files.iter().map(inside));
            found.classes.push(name);
        }
        found.no_classes.sort();
        Ok(found)
    }

    /// Refuses fewer than two classes.
    pub fn check(&self) -> Result<(), CliError> {
        if self.classes.len() >= 2 {
            return Ok(());
        }
        let (folder, found) = (self.folder.display(), self.classes.len());
        let others = self.named().map(|named| format!(" (not {named})")).unwrap_or_default();
        Err(CliError::Usage(format!(
            "{folder}: expected a folder of images for each of at least two classes, found \
            {found}{others}"
        )))
    }

    /// Reports what is left out, in one line about folders and one about files.
    pub fn tell(&self) {
        let folder = self.folder.display();
        if let Some(named) = self.named() {
            output::progress(&format!(
                "{folder}: not classes (hidden, or without images): {named}"
            ));
        }
        if self.others > 0 {
            output::progress(&format!("{folder}: {}", image_files::left_out(self.others)));
        }
    }

    /// The names of the first folders that are not classes, as text.
    fn named(&self) -> Option<String> {
        let first: Vec<_> =
            self.no_classes.iter().take(NAMED).map(|name| output::shown(name)).collect();
        let more = if self.no_classes.len() > first.len() { ", ..." } else { "" };
        (!first.is_empty()).then(|| format!("{}{more}", first.join(", ")))
    }
}
