//! The parts of a workload: its blocks, their steps, their dispatches, and the cost of each.

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::gpu::Ceilings;
use wgpu_bottleneck::plan::{Dispatch, RecordedStep, Recording, Segment};
use wgpu_bottleneck::tensor::DType;

use super::measure::Times;

/// A block of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// Its name.
    pub name: String,
    /// Its cost.
    #[serde(flatten)]
    pub cost: Cost,
    /// Its steps, in order.
    pub steps: Vec<StepReport>,
}

/// A step of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// Whether it is a convolution in f16.
    #[serde(default)]
    pub half: bool,
    /// Whether matrix units compute it.
    #[serde(default)]
    pub matrix_units: bool,
    /// Its cost.
    #[serde(flatten)]
    pub cost: Cost,
    /// Its dispatches.
    pub dispatches: Vec<DispatchReport>,
}

/// A dispatch of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DispatchReport {
    /// The kernel.
    pub kernel: String,
    /// The number of workgroups.
    pub workgroups: [u32; 3],
    /// The median GPU time.
    pub gpu_ms: Option<f64>,
}

/// Work, and the time that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Floating-point operations of convolutions, two per multiply-add.
    pub flops: u64,
    /// The least memory traffic.
    pub bytes: u64,
    /// The least time that the device's ceilings allow; unknown with --quick.
    pub roof_ms: Option<f64>,
    /// The median GPU time; for several dispatches, that of their sums.
    pub gpu_ms: Option<f64>,
}

impl Cost {
    /// The least time as a share of the GPU time.
    pub fn share_of_roof(&self) -> Option<f64> {
        let (roof, ms) = self.roof_ms.zip(self.gpu_ms.filter(|&ms| ms > 0.0))?;
        Some(roof / ms)
    }

    /// `amount` in 10^9 per second.
    pub fn giga_a_second(&self, amount: u64) -> Option<f64> {
        self.gpu_ms.filter(|&ms| ms > 0.0).map(|ms| amount as f64 / ms / 1e6)
    }
}

impl BlockReport {
    /// Sets the least times of the steps that the ceilings allow, and returns their sum.
    pub fn against(&mut self, ceilings: &Ceilings) -> f64 {
        let mut sum = 0.0;
        for StepReport { cost, half, .. } in &mut self.steps {
            let gflops = ceilings.arithmetic_gflops(if *half { DType::F16 } else { DType::F32 });
            let (arithmetic, traffic) =
                (cost.flops as f64 / gflops, cost.bytes as f64 / ceilings.copy_gbps);
            let roof_ms = arithmetic.max(traffic) / 1e6;
            cost.roof_ms = Some(roof_ms);
            sum += roof_ms;
        }
        self.cost.roof_ms = Some(sum);
        sum
    }
}

/// The blocks of a recording, with their steps and dispatches, for all runs together.
pub fn blocks(recording: &Recording, times: &Times, runs: usize) -> Vec<BlockReport> {
    let (plan, mut at) = (&recording.plan, 0);
    let mut step = |recorded: &RecordedStep| {
        let [flops, bytes] = [plan.step_flops(&recorded.step), plan.step_min_bytes(&recorded.step)]
            .map(|amount| amount * runs as u64);
        let first = at;
        let mut dispatch = |dispatch: &Dispatch| {
            at += 1;
            let (kernel, workgroups) = (dispatch.kernel.name(), dispatch.workgroups);
            DispatchReport { kernel, workgroups, gpu_ms: times.gpu_ms(at - 1..at) }
        };
        let dispatches = recorded.dispatches.iter().map(&mut dispatch).collect();
        let cost = Cost { flops, bytes, roof_ms: None, gpu_ms: times.gpu_ms(first..at) };
        let half = flops > 0 && plan.problem(&recorded.step).dtype == DType::F16;
        let matrix_units = recorded.kernel.matrix_side > 0;
        (
            StepReport { name: recorded.step.to_string(), half, matrix_units, cost, dispatches },
            first..at,
        )
    };
    let block = |segment: &Segment| {
        let (steps, ranges): (Vec<StepReport>, Vec<_>) =
            segment.steps.iter().map(&mut step).unzip();
        let costs = || steps.iter().map(|step| step.cost);
        let first = ranges.first().map_or(0, |range| range.start);
        let cost = Cost {
            flops: costs().map(|cost| cost.flops).sum(),
            bytes: costs().map(|cost| cost.bytes).sum(),
            roof_ms: None,
            gpu_ms: times.gpu_ms(first..ranges.last().map_or(first, |range| range.end)),
        };
        let names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
        BlockReport { name: block_name(&names), cost, steps }
    };
    recording.segments.iter().map(block).collect()
}

/// The common part of the names of a block's steps: `layer1.0`. For stem and head, which have none,
/// the first name.
pub fn block_name(steps: &[String]) -> String {
    let Some(first) = steps.first() else { return String::new() };
    let parents = first.match_indices('.').map(|(at, _)| &first[..at]);
    let mut common = parents.filter(|parent| {
        steps.iter().all(|step| step.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')))
    });
    common.next_back().unwrap_or(first).to_owned()
}
