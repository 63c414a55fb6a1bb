//! The progress bar of long tasks, on a terminal; elsewhere its messages are lines.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// The progress of a number of things, one after the other.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar at the first of this many things.
    pub fn new(things: usize) -> Self {
        let bar = ProgressBar::new(things as u64);
        if let Ok(style) =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} done, {elapsed}, {msg}")
        {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            // Updates the elapsed time during a task.
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        output::keep_above(Some(bar.clone()));
        Self(bar)
    }

    /// Sets how many are done.
    pub fn done(&self, things: usize) {
        self.0.set_position(things as u64);
    }

    /// Sets the current task, shown only next to the bar.
    pub fn set(&self, message: &str) {
        self.0.set_message(message.to_owned());
    }

    /// Sets the current task, shown next to the bar, or, if there is none, as a separate line.
    pub fn say(&self, message: &str, line: &str) {
        match self.0.is_hidden() {
            true => output::progress(line),
            false => self.0.set_message(message.to_owned()),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        output::keep_above(None);
        self.0.finish_and_clear();
    }
}
