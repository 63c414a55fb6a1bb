//! The progress of a bench.

use wgpu_bottleneck::Gpu;

use super::super::progress_bar::Bar;
use super::device::DeviceReport;
use super::workload::Workload;

/// The progress of the workloads.
#[derive(Debug)]
pub struct Progress {
    bar: Bar,
    workloads: usize,
}

impl Progress {
    /// The progress of this many workloads.
    pub fn new(workloads: usize) -> Self {
        Self { bar: Bar::new(workloads), workloads }
    }

    /// The ceilings of a device are being measured.
    pub fn ceilings(&self, gpu: &Gpu) {
        let what = format!("the ceilings of {}", DeviceReport::of(gpu).short());
        self.bar.say(&what, &format!("{what} ..."));
    }

    /// All workloads are loaded, and are being timed in turns.
    pub fn turns(&self) {
        let what = "all workloads, in turns";
        self.bar.say(what, &format!("{what} ..."));
    }

    /// The workload with this index is being measured.
    pub fn begin(&self, index: usize, workload: &Workload, gpu: &Gpu) {
        self.bar.done(index);
        let (Workload { name, what, .. }, on) = (workload, DeviceReport::of(gpu).short());
        self.bar.say(
            name,
            &format!("{} of {}: {name}, {what}, on {on} ...", index + 1, self.workloads),
        );
    }
}
