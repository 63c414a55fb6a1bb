//! What a bench found, as data: what `--json` prints and `--compare` reads.

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::gpu::Ceilings;
use wgpu_bottleneck::plan::{Dispatch, RecordedStep, Recording, Segment};

use super::super::devices::{driver, kind};
use super::checked::Checked;
use super::measure::{Quantiles, Times};
use super::workload::Workload;

/// What the schema is called. It changes when a member gets another meaning or goes away, not when one is added.
pub const SCHEMA: &str = "wgpu-bottleneck bench 1";

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program's version.
    pub version: String,
    /// What it ran on.
    pub device: DeviceReport,
    /// What the device can do at most.
    pub ceilings: Ceilings,
    /// Whether little time was spent.
    pub quick: bool,
    /// `fused` or `unfused`.
    pub plan: String,
    /// The kernel that was forced, if one was.
    pub kernel: Option<String>,
    /// How GPU times were taken; none where the device has no timestamps.
    pub timestamps: Option<String>,
    /// One after the other.
    pub workloads: Vec<WorkloadReport>,
}

/// What `--json` prints: a report, or a list of them where several devices were asked for, however many there were.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reports {
    /// Of one device.
    One(Box<Report>),
    /// Of several, of the same workloads.
    Several(Vec<Report>),
}

impl Reports {
    /// Of one or more devices.
    pub fn new(mut reports: Vec<Report>, several: bool) -> Self {
        match reports.pop() {
            Some(only) if reports.is_empty() && !several => Self::One(Box::new(only)),
            last => {
                reports.extend(last);
                Self::Several(reports)
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Report] {
        match self {
            Self::One(report) => std::slice::from_ref(report),
            Self::Several(reports) => reports,
        }
    }
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// The API.
    pub backend: String,
    /// What sort of device it is.
    pub kind: String,
    /// The driver and its version.
    pub driver: String,
}

impl DeviceReport {
    /// A few words to tell it from others by.
    pub fn short(&self) -> String {
        format!("{} ({})", self.name, self.backend)
    }

    /// What is known of a device.
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str().to_owned(),
            kind: kind(info).to_owned(),
            driver: driver(info),
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
    /// The shape of its input, NCHW.
    pub input: [usize; 4],
    /// Floating-point operations of its convolutions, two per multiply-add.
    pub flops: u64,
    /// The least memory traffic of its steps: what they use read once, what they make written once.
    pub bytes: u64,
    /// Operations per byte.
    pub intensity: f64,
    /// One inference from host array to host array, the median.
    pub median_ms: f64,
    /// One with input and output staying on the device: recording, submit, wait.
    pub device_ms: f64,
    /// The sum of the dispatches' GPU times; none where the device has no timestamps.
    pub gpu_ms: Option<f64>,
    /// Operations a second by `gpu_ms`, or `device_ms` where that is none.
    pub gflops: f64,
    /// The least traffic a second, likewise.
    pub gbps: f64,
    /// The share of the device's multiply-add ceiling.
    pub share_of_fma: f64,
    /// The share of its copy ceiling.
    pub share_of_copy: f64,
    /// The time at which every step would meet one of the two ceilings, as a share of the time taken.
    pub share_of_roof: f64,
    /// How `median_ms` spreads.
    pub host: Quantiles,
    /// How `device_ms` spreads.
    pub device: Quantiles,
    /// How `gpu_ms` spreads.
    pub gpu: Option<Quantiles>,
    /// How many times each was taken.
    pub rounds: usize,
    /// Whether the medians had come to rest.
    pub steady: bool,
    /// What the numbers were held against before.
    pub checked_against: String,
    /// How far they were off, as a share of the largest value.
    pub largest_error: f64,
    /// Device memory in bytes, weights and all.
    pub memory_bytes: u64,
    /// One after the other: the stem, each block, the head.
    pub blocks: Vec<BlockReport>,
}

/// A block of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// Its name.
    pub name: String,
    /// What it comes to.
    #[serde(flatten)]
    pub cost: Cost,
    /// One after the other.
    pub steps: Vec<StepReport>,
}

/// A step of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What it comes to.
    #[serde(flatten)]
    pub cost: Cost,
    /// How it is done.
    pub dispatches: Vec<DispatchReport>,
}

/// A dispatch of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DispatchReport {
    /// The kernel.
    pub kernel: String,
    /// How many workgroups of it.
    pub workgroups: [u32; 3],
    /// The median GPU time.
    pub gpu_ms: Option<f64>,
}

/// Work, and the time that it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Floating-point operations of convolutions, two per multiply-add.
    pub flops: u64,
    /// The least memory traffic.
    pub bytes: u64,
    /// The least time that the device's ceilings leave it.
    pub roof_ms: f64,
    /// The median GPU time: of the sums, where it is of several dispatches.
    pub gpu_ms: Option<f64>,
}

impl Cost {
    /// 10^9 times as many a second.
    pub fn giga_a_second(&self, amount: u64) -> Option<f64> {
        self.gpu_ms.filter(|&ms| ms > 0.0).map(|ms| amount as f64 / ms / 1e6)
    }
}

impl WorkloadReport {
    /// What a workload came to.
    pub fn new(workload: &Workload, checked: &Checked, times: &Times, ceilings: &Ceilings) -> Self {
        let recording = checked.executor().recording();
        let blocks = blocks(recording, times, ceilings);
        let flops = recording.plan.conv_flops();
        let bytes = blocks.iter().map(|block| block.cost.bytes).sum();
        let ms = times.gpu.unwrap_or(times.device).p50_ms;
        let a_second = |amount: u64| amount as f64 / ms / 1e6;
        let roof: f64 = blocks.iter().map(|block| block.cost.roof_ms).sum();
        Self {
            name: workload.name.clone(),
            what: workload.what.clone(),
            input: workload.input.dims(),
            flops,
            bytes,
            intensity: flops as f64 / bytes as f64,
            median_ms: times.host.p50_ms,
            device_ms: times.device.p50_ms,
            gpu_ms: times.gpu.map(|gpu| gpu.p50_ms),
            gflops: a_second(flops),
            gbps: a_second(bytes),
            share_of_fma: a_second(flops) / ceilings.fma_gflops,
            share_of_copy: a_second(bytes) / ceilings.copy_gbps,
            share_of_roof: roof / ms,
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
}

/// The blocks of a recording, with their steps and dispatches.
fn blocks(recording: &Recording, times: &Times, ceilings: &Ceilings) -> Vec<BlockReport> {
    let (plan, mut at) = (&recording.plan, 0);
    let mut step = |recorded: &RecordedStep| {
        let (flops, bytes) = (plan.step_flops(&recorded.step), plan.step_min_bytes(&recorded.step));
        let first = at;
        let mut dispatch = |dispatch: &Dispatch| {
            at += 1;
            let (kernel, workgroups) = (dispatch.kernel.name(), dispatch.workgroups);
            DispatchReport { kernel, workgroups, gpu_ms: times.gpu_ms(at - 1..at) }
        };
        let dispatches = recorded.dispatches.iter().map(&mut dispatch).collect();
        let roof_ms = (flops as f64 / ceilings.fma_gflops).max(bytes as f64 / ceilings.copy_gbps) / 1e6;
        let cost = Cost { flops, bytes, roof_ms, gpu_ms: times.gpu_ms(first..at) };
        (StepReport { name: recorded.step.to_string(), cost, dispatches }, first..at)
    };
    let block = |segment: &Segment| {
        let (steps, ranges): (Vec<StepReport>, Vec<_>) = segment.steps.iter().map(&mut step).unzip();
        let costs = || steps.iter().map(|step| step.cost);
        let first = ranges.first().map_or(0, |range| range.start);
        let cost = Cost {
            flops: costs().map(|cost| cost.flops).sum(),
            bytes: costs().map(|cost| cost.bytes).sum(),
            roof_ms: costs().map(|cost| cost.roof_ms).sum(),
            gpu_ms: times.gpu_ms(first..ranges.last().map_or(first, |range| range.end)),
        };
        BlockReport { name: block_name(&steps), cost, steps }
    };
    recording.segments.iter().map(block).collect()
}

/// What the names of a block's steps have in common: `layer1.0`; of stem and head, which have nothing, the first.
fn block_name(steps: &[StepReport]) -> String {
    let Some(first) = steps.first() else { return String::new() };
    let parents = first.name.match_indices('.').map(|(at, _)| &first.name[..at]);
    let mut common = parents.filter(|parent| {
        steps.iter().all(|step| step.name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')))
    });
    common.next_back().unwrap_or(&first.name).to_owned()
}
