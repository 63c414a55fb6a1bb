//! Progress of `embed`: a bar if stderr is a terminal, and a line for each of the first images that
//! fail.

use super::rows::Row;
use crate::cli::image_progress::ImageProgress;
use crate::cli::output;

/// The most failed images that are named.
const NAMED: usize = 20;

/// The progress of this run.
#[derive(Debug)]
pub struct Progress(ImageProgress);

impl Progress {
    /// The progress of a run with this many images.
    pub fn new(images: usize) -> Self {
        Self(ImageProgress::new(images))
    }

    /// Adds finished rows.
    pub fn add(&mut self, rows: &[Row]) {
        let failed: Vec<_> =
            rows.iter().filter_map(|row| Some((&row.path, row.outcome.as_ref().err()?))).collect();
        let named = NAMED.saturating_sub(self.0.errors());
        for (path, error) in failed.iter().take(named) {
            output::progress(&format!("{}: {}", output::shown(path), output::shown(error)));
        }
        if self.0.errors() <= NAMED && self.0.errors() + failed.len() > NAMED {
            output::progress("further images that fail are only counted");
        }
        self.0.add(rows.len() - failed.len(), failed.len());
    }

    /// Adds images without a row.
    pub fn skip(&mut self, images: usize) {
        self.0.add(0, images);
    }

    /// See [`ImageProgress::rate`].
    pub fn rate(&self) -> String {
        self.0.rate()
    }
}
