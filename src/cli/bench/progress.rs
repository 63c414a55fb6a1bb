//! What is said while a bench is under way: a bar where stderr is a terminal, elsewhere a line per workload.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wgpu_bottleneck::Gpu;

use super::super::output;
use super::report::DeviceReport;
use super::workload::Workload;

/// The workloads of this run.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    workloads: usize,
}

impl Progress {
    /// Of so many workloads.
    pub fn new(workloads: usize) -> Self {
        let bar = ProgressBar::new(workloads as u64);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} done, {elapsed}, {msg}") {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            // So that the time goes on while a workload is under way.
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        output::keep_above(Some(bar.clone()));
        Self { bar, workloads }
    }

    /// What a device can do is under way.
    pub fn ceilings(&self, gpu: &Gpu) {
        let what = format!("the ceilings of {}", DeviceReport::of(gpu).short());
        self.say(&what, format!("{what} ..."));
    }

    /// The workload of this index is under way.
    pub fn begin(&self, index: usize, workload: &Workload, gpu: &Gpu) {
        self.bar.set_position(index as u64);
        let (Workload { name, what, .. }, on) = (workload, DeviceReport::of(gpu).short());
        self.say(name, format!("{} of {}: {name}, {what}, on {on} ...", index + 1, self.workloads));
    }

    fn say(&self, message: &str, line: String) {
        match self.bar.is_hidden() {
            true => output::progress(&line),
            false => self.bar.set_message(message.to_owned()),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        output::keep_above(None);
        self.bar.finish_and_clear();
    }
}
