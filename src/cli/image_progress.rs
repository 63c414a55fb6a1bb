//! Progress of commands that process many images: a bar if stderr is a terminal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use super::output;

/// The progress of this run.
#[derive(Debug)]
pub struct ImageProgress {
    bar: ProgressBar,
    begun: Instant,
    errors: usize,
    /// Images with a result.
    computed: Arc<AtomicUsize>,
}

impl ImageProgress {
    /// The progress of a run with this many images.
    pub fn new(images: usize) -> Self {
        let bar = ProgressBar::new(images as u64);
        let computed = Arc::new(AtomicUsize::new(0));
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} images{speed}{msg}")
        {
            let computed = computed.clone();
            let key = move |state: &ProgressState, text: &mut dyn fmt::Write| {
                speed(state, computed.load(Ordering::Relaxed) > 0, text);
            };
            bar.set_style(style.with_key("speed", key));
        }
        if !bar.is_hidden() {
            // Updates the remaining time during a batch.
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        output::keep_above(Some(bar.clone()));
        Self { bar, begun: Instant::now(), errors: 0, computed }
    }

    /// Adds finished images: the number of images with a result, and of images that failed.
    pub fn add(&mut self, computed: usize, failed: usize) {
        self.computed.fetch_add(computed, Ordering::Relaxed);
        self.errors += failed;
        if self.errors > 0 {
            self.bar.set_message(format!(", {}", output::count(self.errors, "error", "errors")));
        }
        self.bar.inc((computed + failed) as u64);
    }

    /// How many images have failed.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// The number of images with a result, and images per second. Without a result, no rate.
    pub fn rate(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        match self.computed.load(Ordering::Relaxed) {
            0 => format!("no image computed in {seconds:.1} s"),
            computed => {
                let images = output::count(computed, "image", "images");
                format!("{images} in {seconds:.1} s, {:.1} images/s", computed as f64 / seconds)
            }
        }
    }
}

impl Drop for ImageProgress {
    fn drop(&mut self) {
        output::keep_above(None);
        self.bar.finish_and_clear();
    }
}

/// Writes the speed, if an image has been computed, and the remaining time, once it is known.
fn speed(state: &ProgressState, has_computed: bool, text: &mut dyn fmt::Write) {
    if state.pos() == 0 {
        return;
    }
    // Failing to draw the bar does not stop the run.
    if has_computed {
        let _ = write!(text, ", {:.1} images/s", state.per_sec());
    }
    let _ = write!(text, ", {:#} left", HumanDuration(state.eta()));
}
