//! Leaves out images that cannot be used, and reports them in the run's list, in `failed.csv` and
//! on stderr.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::files::OutputFile;
use super::super::image_files;
use super::super::output::{self, count};
use super::files::Files;
use super::list::{Failure, ImageList, Kind};
use super::sources::stopped;

/// The maximum number of images that are named on stderr.
const NAMED: usize = 20;

/// The images of a run, and the images that are left out.
#[derive(Debug)]
pub struct Kept {
    pub list: ImageList,
    /// The number of images that have been named on stderr.
    named: usize,
}

impl Kept {
    /// Starts with a list of images, and writes it to its file.
    pub fn begin(list: ImageList, is_kept: bool, files: &Files) -> Result<Self, CliError> {
        let mut kept = Self { list, named: 0 };
        kept.list.write(&files.images)?;
        let failed = kept.failed();
        if is_kept && !failed.is_empty() {
            let (images, file) = (count(failed.len(), "image", "images"), files.failed_name());
            output::progress(&format!(
                "{images} left out before ({file}), and not used even if repaired: to use all \
                images, choose a new --out"
            ));
        } else {
            for (at, (path, reason)) in failed.iter().enumerate() {
                kept.name(at + 1, path, reason, files);
            }
        }
        // One of an earlier run is not to be taken for that of this run.
        if !failed.is_empty() || files.failed.is_present() {
            kept.write(&files.failed)?;
        }
        Ok(kept)
    }

    /// All images that are left out, and the reasons.
    fn failed(&self) -> Vec<(PathBuf, String)> {
        let parts = [Some(&self.list.training), self.list.validation.as_ref()];
        let failed = parts.into_iter().flatten().flat_map(|part| part.failed());
        failed.map(|(path, reason)| (path, reason.to_owned())).collect()
    }

    /// Leaves out images from now on. If `is_strict`, the first of them is an error instead.
    pub fn leave_out(
        &mut self,
        kind: Kind,
        failures: Vec<Failure>,
        is_strict: bool,
        files: &Files,
    ) -> Result<(), CliError> {
        let Some(first) = failures.first() else { return Ok(()) };
        if is_strict {
            let path = self.list.part(kind).map(|part| part.path(first.image));
            return Err(stopped(&path.unwrap_or_default(), &first.reason));
        }
        let before = self.failed().len();
        let reasons: Vec<(usize, String)> =
            failures.iter().map(|failure| (failure.image, failure.reason.clone())).collect();
        self.list.leave_out(&files.images, kind, failures)?;
        for (at, (image, reason)) in reasons.iter().enumerate() {
            let path = self.list.part(kind).map(|part| part.path(*image)).unwrap_or_default();
            self.name(before + at + 1, &path, reason, files);
        }
        self.write(&files.failed)
    }

    /// Names an image on stderr, up to [`NAMED`] images. `number` images are left out so far.
    fn name(&mut self, number: usize, path: &Path, reason: &str, files: &Files) {
        self.named += 1;
        let path = image_files::text(path);
        if self.named <= NAMED {
            let (path, reason) = (output::shown(&path), output::shown(reason));
            output::progress(&format!("left out (image {number}): {path}: {reason}"));
        } else if self.named == NAMED + 1 {
            let failed = files.failed_name();
            output::progress(&format!("further images that are left out are only in {failed}"));
        }
    }

    /// Writes `failed.csv`.
    fn write(&self, file: &OutputFile) -> Result<(), CliError> {
        let wrong = |error: String| CliError::io(file.path(), std::io::Error::other(error));
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["file", "reason"]).map_err(|error| wrong(error.to_string()))?;
        for (path, reason) in self.failed() {
            writer
                .write_record([image_files::text(path), reason])
                .map_err(|error| wrong(error.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|error| wrong(error.to_string()))?;
        file.stage_named(".failed.part".as_ref(), |to| to.write_all(&bytes))?.persist()
    }

    /// Reports how many images are left out.
    pub fn tell(&self, files: &Files) {
        let failed = self.failed().len();
        if failed > 0 {
            let images = count(failed, "image", "images");
            output::progress(&format!("left out {images}: {}", files.failed_name()));
        }
    }
}
