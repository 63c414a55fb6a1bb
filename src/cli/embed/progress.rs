//! What is said while pictures are embedded: a bar where stderr is a terminal, and a line for each of the first pictures that have
//! no vector.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use super::rows::Row;
use crate::cli::output;

/// Pictures without a vector that are named.
const NAMED: usize = 20;

/// The pictures of this run.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    errors: usize,
    done: usize,
}

impl Progress {
    /// Of so many pictures.
    pub fn new(pictures: usize) -> Self {
        let bar = ProgressBar::new(pictures as u64);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} pictures{speed}{msg}") {
            bar.set_style(style.with_key("speed", speed));
        }
        if !bar.is_hidden() {
            // So that the time left goes on while a batch is under way.
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        output::keep_above(Some(bar.clone()));
        Self { bar, begun: Instant::now(), errors: 0, done: 0 }
    }

    /// These are done.
    pub fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let Err(error) = &row.outcome else { continue };
            self.errors += 1;
            if self.errors <= NAMED {
                output::progress(&format!("{}: {}", output::shown(&row.path), output::shown(error)));
            } else if self.errors == NAMED + 1 {
                output::progress("further pictures without a vector are only counted");
            }
        }
        self.done += rows.len();
        if self.errors > 0 {
            self.bar.set_message(format!(", {}", output::count(self.errors, "error", "errors")));
        }
        self.bar.inc(rows.len() as u64);
    }

    /// Pictures and pictures per second.
    pub fn rate(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let done = output::count(self.done, "picture", "pictures");
        format!("{done} in {seconds:.1} s, {:.1} pictures/s", self.done as f64 / seconds)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        output::keep_above(None);
        self.bar.finish_and_clear();
    }
}

/// How fast it is and how long it will take, once that is known.
fn speed(state: &ProgressState, text: &mut dyn fmt::Write) {
    if state.pos() > 0 {
        // What cannot be drawn is no reason to stop.
        let _ = write!(text, ", {:.1} pictures/s, {:#} left", state.per_sec(), HumanDuration(state.eta()));
    }
}
