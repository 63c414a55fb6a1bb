//! The results of a bench as data, which `--json` prints and `--compare` reads.

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::gpu::Ceilings;

use super::checked::Checked;
use super::device::DeviceReport;
use super::measure::{Quantiles, Times};
use super::parts::{self, BlockReport, StepReport};
use super::provenance::Provenance;
use super::workload::Workload;

/// The name of the schema. It changes when the meaning or type of a member changes or when a member
/// is removed, not when one is added.
pub const SCHEMA: &str = "wgpu-bottleneck bench 2";

/// Schemas that `--compare` reads. In the first one, shares and the barrier were never null.
pub const READABLE: [&str; 2] = ["wgpu-bottleneck bench 1", SCHEMA];

/// The report of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its origin.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The device.
    pub device: DeviceReport,
    /// The ceilings of the device: the better of two measurements, before and after the workloads.
    pub ceilings: Ceilings,
    /// Whether little time was spent. Ceilings are then measured too briefly, and shares of them
    /// are left out.
    pub quick: bool,
    /// `fused` or `unfused`.
    pub plan: String,
    /// `f32`, `f16` or `auto`.
    #[serde(default = "single")]
    pub precision: String,
    /// The kernel that was forced, if one was.
    pub kernel: Option<String>,
    /// Whether kernels were picked by a table of `bottleneck tune`.
    #[serde(default)]
    pub tuned: bool,
    /// How GPU times were measured; `None` if the device has no timestamps.
    pub timestamps: Option<String>,
    /// The workloads, in order.
    pub workloads: Vec<WorkloadReport>,
}

/// The precision of reports without one.
fn single() -> String {
    "f32".to_owned()
}

/// The output of `--json`: a report, or a list of reports if several devices were requested,
/// however many there are.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reports {
    /// The report of one device.
    One(Box<Report>),
    /// The reports of several devices, with the same workloads.
    Several(Vec<Report>),
}

impl Reports {
    /// The output for one or more devices.
    pub fn new(mut reports: Vec<Report>, several: bool) -> Self {
        match reports.pop() {
            Some(only) if reports.is_empty() && !several => Self::One(Box::new(only)),
            last => {
                reports.extend(last);
                Self::Several(reports)
            }
        }
    }

    /// All reports.
    pub fn all(&self) -> &[Report] {
        match self {
            Self::One(report) => std::slice::from_ref(report),
            Self::Several(reports) => reports,
        }
    }
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadReport {
    /// Its short name.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// The file of its weights; `None` if they are seeded.
    #[serde(default)]
    pub weights: Option<String>,
    /// The shape of its input, NCHW.
    pub input: [usize; 4],
    /// Floating-point operations of its convolutions, two per multiply-add.
    pub flops: u64,
    /// The operations that the picked kernels execute: fewer with Winograd's. Zero in files of
    /// versions that did not count them.
    #[serde(default)]
    pub executed_flops: u64,
    /// The least memory traffic of its steps: inputs read once, outputs written once.
    pub bytes: u64,
    /// Operations per byte.
    pub intensity: f64,
    /// The median time of one inference from host array to host array.
    pub median_ms: f64,
    /// The same with input and output staying on the device: recording, submit, wait.
    pub device_ms: f64,
    /// The sum of the dispatches' GPU times; `None` if the device has no timestamps.
    pub gpu_ms: Option<f64>,
    /// 10^9 operations per second by `gpu_ms`, or by `device_ms` if that is `None`.
    pub gflops: f64,
    /// 10^9 executed operations per second, likewise.
    #[serde(default)]
    pub executed_gflops: f64,
    /// The least traffic in 10^9 bytes per second, likewise.
    pub gbps: f64,
    /// The share of the device's ceiling of multiply-adds in f32, by the executed operations; above
    /// 1 if matrix units are faster. With --quick, all shares are `None`.
    pub share_of_fma: Option<f64>,
    /// The share of its ceiling of matrix units, by all executed operations; `None` if they compute
    /// no step.
    #[serde(default)]
    pub share_of_matrix: Option<f64>,
    /// The share of its copy ceiling.
    pub share_of_copy: Option<f64>,
    /// The time at which every step would meet one of the two ceilings, as a share of the time
    /// taken.
    pub share_of_roof: Option<f64>,
    /// The spread of `median_ms`.
    pub host: Quantiles,
    /// The spread of `device_ms`.
    pub device: Quantiles,
    /// The spread of `gpu_ms`.
    pub gpu: Option<Quantiles>,
    /// How often each was measured.
    pub rounds: usize,
    /// Whether the medians were steady.
    pub steady: bool,
    /// What the results were compared with.
    pub checked_against: String,
    /// The largest error, as a share of the largest value.
    pub largest_error: f64,
    /// Device memory in bytes, including weights.
    pub memory_bytes: u64,
    /// The stem, each block and the head, in order.
    pub blocks: Vec<BlockReport>,
}

impl WorkloadReport {
    /// The result of a workload, without shares; [`Self::against`] sets them.
    pub fn new(workload: &Workload, checked: &Checked, times: &Times) -> Self {
        let recording = checked.executor().recording();
        let blocks = parts::blocks(recording, times, checked.runs);
        // Runs of parts share some lines, which are computed more than once.
        let (flops, executed_flops) =
            (checked.flops, recording.executed_flops() * checked.runs as u64);
        let bytes = blocks.iter().map(|block| block.cost.bytes).sum();
        let ms = times.gpu.unwrap_or(times.device).p50_ms;
        let a_second = |amount: u64| amount as f64 / ms / 1e6;
        Self {
            name: workload.name.clone(),
            what: workload.what.clone(),
            weights: workload.source.as_ref().map(|source| source.file.display().to_string()),
            input: workload.input.dims(),
            flops,
            executed_flops,
            bytes,
            intensity: flops as f64 / bytes as f64,
            median_ms: times.host.p50_ms,
            device_ms: times.device.p50_ms,
            gpu_ms: times.gpu.map(|gpu| gpu.p50_ms),
            gflops: a_second(flops),
            executed_gflops: a_second(executed_flops),
            gbps: a_second(bytes),
            share_of_fma: None,
            share_of_matrix: None,
            share_of_copy: None,
            share_of_roof: None,
            host: times.host,
            device: times.device,
            gpu: times.gpu,
            rounds: times.rounds,
            steady: times.steady,
            checked_against: checked.against.to_owned(),
            largest_error: checked.largest_error,
            memory_bytes: checked.executor().memory().total(),
            blocks,
        }
    }

    /// Its steps, block by block.
    pub fn steps(&self) -> impl Iterator<Item = &StepReport> {
        self.blocks.iter().flat_map(|block| &block.steps)
    }

    /// Compares it with the ceilings of the device.
    pub fn against(&mut self, ceilings: &Ceilings) {
        let roof: f64 = self.blocks.iter_mut().map(|block| block.against(ceilings)).sum();
        self.share_of_fma = Some(self.executed_gflops / ceilings.fma_gflops);
        let matrix_gflops =
            ceilings.matrix_gflops.filter(|_| self.steps().any(|step| step.matrix_units));
        self.share_of_matrix = matrix_gflops.map(|gflops| self.executed_gflops / gflops);
        self.share_of_copy = Some(self.gbps / ceilings.copy_gbps);
        self.share_of_roof = Some(roof / self.gpu.unwrap_or(self.device).p50_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;

    #[test]
    fn shares_are_of_the_ceilings() {
        let mut report = sample(false);
        let (ceilings, workload) = (report.ceilings, &mut report.workloads[0]);
        let shares = [
            workload.share_of_fma,
            workload.share_of_copy,
            workload.share_of_roof,
            workload.share_of_matrix,
        ];
        assert_eq!(shares, [Some(0.5), Some(0.05), Some(0.5), None]);
        assert_eq!(
            (workload.blocks[0].cost.roof_ms, workload.blocks[0].steps[0].cost.roof_ms),
            (Some(1.0), Some(1.0))
        );
        // Of matrix units only where they compute a step.
        workload.blocks[0].steps[0].matrix_units = true;
        workload.against(&ceilings);
        assert_eq!(workload.share_of_matrix, Some(0.125));
    }
}
