//! What is said while a bench is under way.

use wgpu_bottleneck::Gpu;

use super::super::progress_bar::Bar;
use super::device::DeviceReport;
use super::workload::Workload;

/// The workloads of this run.
#[derive(Debug)]
pub struct Progress {
    bar: Bar,
    workloads: usize,
}

impl Progress {
    /// Of so many workloads.
    pub fn new(workloads: usize) -> Self {
        Self { bar: Bar::new(workloads), workloads }
    }

    /// What a device can do is under way.
    pub fn ceilings(&self, gpu: &Gpu) {
        let what = format!("the ceilings of {}", DeviceReport::of(gpu).short());
        self.bar.say(&what, &format!("{what} ..."));
    }

    /// All workloads are loaded, and timed in turns.
    pub fn turns(&self) {
        let what = "all of them, in turns";
        self.bar.say(what, &format!("{what} ..."));
    }

    /// The workload of this index is under way.
    pub fn begin(&self, index: usize, workload: &Workload, gpu: &Gpu) {
        self.bar.done(index);
        let (Workload { name, what, .. }, on) = (workload, DeviceReport::of(gpu).short());
        self.bar.say(name, &format!("{} of {}: {name}, {what}, on {on} ...", index + 1, self.workloads));
    }
}
