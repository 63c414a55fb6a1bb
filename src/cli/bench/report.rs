//! What a bench found, as data: what `--json` prints and `--compare` reads.

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::gpu::Ceilings;
use wgpu_bottleneck::plan::{RecordedStep, Recording};

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
    /// GPU time by block.
    pub blocks: Vec<Part>,
    /// GPU time by step.
    pub steps: Vec<Part>,
}

/// A step or a block of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The kernels.
    pub kernels: Vec<String>,
    /// Floating-point operations.
    pub flops: u64,
    /// The least memory traffic.
    pub bytes: u64,
    /// The median.
    pub gpu_ms: Option<f64>,
}

impl WorkloadReport {
    /// What a workload came to.
    pub fn new(workload: &Workload, checked: &Checked, times: &Times, ceilings: &Ceilings) -> Self {
        let recording = checked.executor().recording();
        let (steps, blocks) = parts(recording, times.steps.as_deref());
        let (flops, bytes) = (recording.plan.conv_flops(), steps.iter().map(|step| step.bytes).sum());
        let ms = times.gpu.unwrap_or(times.device).p50_ms;
        let a_second = |amount: u64| amount as f64 / ms / 1e6;
        let roof: f64 = steps.iter().map(|step| roof_ms(step, ceilings)).sum();
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
            steps,
        }
    }
}

/// The steps of a recording, and its blocks.
fn parts(recording: &Recording, times: Option<&[f64]>) -> (Vec<Part>, Vec<Part>) {
    let part = |(index, recorded): (usize, &RecordedStep)| Part {
        name: recorded.step.to_string(),
        kernels: recorded.dispatches.iter().map(|dispatch| dispatch.kernel.name()).collect(),
        flops: recording.plan.step_flops(&recorded.step),
        bytes: recording.plan.step_min_bytes(&recorded.step),
        gpu_ms: times.and_then(|times| times.get(index).copied()),
    };
    let steps: Vec<Part> = recording.steps().enumerate().map(part).collect();
    let block = |range: &std::ops::Range<usize>| {
        let of_block = &steps[range.clone()];
        Part {
            name: block_name(of_block),
            kernels: of_block.iter().flat_map(|step| step.kernels.clone()).collect(),
            flops: of_block.iter().map(|step| step.flops).sum(),
            bytes: of_block.iter().map(|step| step.bytes).sum(),
            gpu_ms: of_block.iter().map(|step| step.gpu_ms).sum(),
        }
    };
    let blocks = recording.plan.blocks.iter().map(block).collect();
    (steps, blocks)
}

/// What the names of a block's steps have in common: `layer1.0`; of stem and head, which have nothing, the first.
fn block_name(steps: &[Part]) -> String {
    let Some(first) = steps.first() else { return String::new() };
    let parents = first.name.match_indices('.').map(|(at, _)| &first.name[..at]);
    let mut common = parents.filter(|parent| {
        steps.iter().all(|step| step.name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')))
    });
    common.next_back().unwrap_or(&first.name).to_owned()
}

/// The least milliseconds that the ceilings leave a step.
fn roof_ms(step: &Part, ceilings: &Ceilings) -> f64 {
    (step.flops as f64 / ceilings.fma_gflops).max(step.bytes as f64 / ceilings.copy_gbps) / 1e6
}
