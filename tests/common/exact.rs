//! Blocks whose arithmetic is exact in f32: small integers for the convolutions, norms that fold to
//! powers of two. And the check that every candidate kernel then gives the reference's bits, within
//! its memory, twice.

use rayon::prelude::*;
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::op::{Conv, StepParams};
use wgpu_bottleneck::plan::{self, KernelChoice, MemoryBudget, Plan, PlanKind, Recording};
use wgpu_bottleneck::selftest::integer_weights;
use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::{
    Block, BlockOptions, Bottleneck, Gpu, HostTensor, Norm, StateDict, network, reference,
};

use super::dict::DictBuilder;
use super::seeded::Seeded;
use super::{Target, is_wanted, most_candidates};

pub type Check = Result<(), String>;

/// Behind each tensor, inside its binding.
pub const GUARD: ExecutorOptions = ExecutorOptions { guard_bytes: 256 };

/// How large the sums of a block may grow: what keeps them below 2^24 units.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Non-zero weights of one output channel.
    pub terms: usize,
    /// Whether norms may halve as well, which halves the unit.
    pub halves: bool,
    /// Whether weights may be 2 and -2.
    pub doubles: bool,
}

/// All weights set: for few channels.
pub const DENSE: Growth = Growth { terms: usize::MAX, halves: true, doubles: true };

impl Growth {
    /// For chains of this many blocks.
    pub fn for_chain(blocks: usize) -> Self {
        match blocks {
            1 => Self { terms: 48, halves: true, doubles: true },
            2 => Self { terms: 10, halves: false, doubles: true },
            3 => Self { terms: 4, halves: false, doubles: true },
            // A block then doubles its values at most, give or take its shifts: enough for 16 of
            // them.
            _ => Self { terms: 1, halves: false, doubles: false },
        }
    }
}

/// OIHW weights as [`integer_weights`] makes them.
pub fn sparse_integers(conv: &Conv, growth: Growth, random: &mut Seeded) -> Vec<f32> {
    integer_weights(conv, growth.terms, growth.doubles, random)
}

/// The state dict of a block, with numbers that make it exact.
pub fn exact_dict(spec: &Bottleneck, affine: bool, growth: Growth, seed: u64) -> DictBuilder {
    let mut random = Seeded::new(seed);
    let mut dict = DictBuilder::default();
    let layers = [
        ("conv1", "bn1", Some(spec.conv1())),
        ("conv2", "bn2", Some(spec.conv2())),
        ("conv3", "bn3", Some(spec.conv3())),
        ("downsample.0", "downsample.1", spec.downsample_conv()),
    ];
    for (conv_key, norm_key, conv) in layers {
        let Some(conv) = conv else { continue };
        let side = if conv.taps() == 9 { 3 } else { 1 };
        let dims = [conv.out_channels, conv.in_per_group(), side, side];
        dict.f32(
            &format!("{conv_key}.weight"),
            &dims,
            &sparse_integers(&conv, growth, &mut random),
        );
        if let Some(eps) = spec.norm().eps() {
            exact_norm(
                &mut dict,
                norm_key,
                conv.out_channels,
                affine.then_some(growth),
                eps as f32,
                &mut random,
            );
        }
    }
    dict
}

/// gamma / sqrt(var + eps) is a power of two (up to its sign), and all else has few bits. Without
/// `affine` gamma is 1.
fn exact_norm(
    dict: &mut DictBuilder,
    key: &str,
    channels: usize,
    affine: Option<Growth>,
    eps: f32,
    random: &mut Seeded,
) {
    let roots: Vec<f32> = (0..channels)
        .map(|_| match affine {
            Some(_) => random.pick(&[0.5, 1.0, 2.0]),
            None => 1.0,
        })
        .collect();
    let mut part = |name: &str, value: &mut dyn FnMut(usize) -> f32| {
        let values: Vec<f32> = (0..channels).map(value).collect();
        dict.f32(&format!("{key}.{name}"), &[channels], &values);
    };
    part("running_var", &mut |channel| roots[channel] * roots[channel] - eps);
    part("running_mean", &mut |_| random.below(9) as f32 / 2.0 - 2.0);
    if let Some(Growth { halves, .. }) = affine {
        let scales: &[f32] = if halves { &[1.0, 0.5] } else { &[1.0] };
        part("weight", &mut |channel| random.sign() * random.pick(scales) * roots[channel]);
        part("bias", &mut |_| random.below(17) as f32 / 4.0 - 2.0);
    }
}

/// The norms that [`exact_dict`] can make exact: eps is dyadic, so that var + eps is a power of
/// four.
pub const EXACT_NORMS: [Norm; 4] = [
    Norm::BatchNorm2d { eps: 1.0 / 1024.0 },
    Norm::BatchNorm2d { eps: 1.0 / 16.0 },
    Norm::FrozenBatchNorm2d { eps: 1.0 / 4096.0 },
    Norm::Identity,
];

/// What a specification says beyond the state dict.
pub fn options_of(spec: &Bottleneck) -> BlockOptions {
    BlockOptions {
        stride: spec.stride(),
        dilation: spec.dilation(),
        groups: Some(spec.groups()),
        base_width: Some(spec.base_width()),
        norm: spec.norm(),
    }
}

/// A block with numbers that make it exact. `affine` counts for BatchNorm2d alone.
pub fn exact_block(
    spec: &Bottleneck,
    affine: bool,
    growth: Growth,
    seed: u64,
) -> wgpu_bottleneck::Result<Block> {
    let affine = affine || !matches!(spec.norm(), Norm::BatchNorm2d { .. });
    let dict = StateDict::from_bytes(exact_dict(spec, affine, growth, seed).bytes())?;
    Block::from_state_dict(&dict, "", &options_of(spec))
}

/// Which kernels a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// The one that the ranking rule takes.
    Ranked,
    /// That one and every candidate.
    Every,
    /// That one and every third candidate, beginning with this one: for many random cases, which
    /// together meet every candidate.
    Third(usize),
}

impl Kernels {
    /// The candidates to force, of so many.
    fn forced(self, count: usize) -> impl Iterator<Item = usize> {
        let (first, step) = match self {
            Self::Ranked => (count, 1),
            Self::Every => (0, 1),
            Self::Third(first) => (first % 3, 3),
        };
        (first..count).step_by(step)
    }
}

/// The kernels, fused and unfused, on every target, give the reference's bits.
pub fn check_blocks(
    blocks: &[Block],
    input: &HostTensor,
    kernels: Kernels,
    targets: &[Target],
) -> Check {
    for kind in [PlanKind::Fused, PlanKind::Unfused] {
        check_kind(blocks, input, kind, kernels, targets)?;
    }
    Ok(())
}

/// One kind of plan of blocks.
pub fn check_kind(
    blocks: &[Block],
    input: &HostTensor,
    kind: PlanKind,
    kernels: Kernels,
    targets: &[Target],
) -> Check {
    let text = |error: wgpu_bottleneck::Error| error.to_string();
    let specs: Vec<Bottleneck> = blocks.iter().map(|block| *block.spec()).collect();
    let plan = network::plan_chain(&specs, input.shape(), kind).map_err(text)?;
    let params = Block::params(blocks, &plan).map_err(|error| error.to_string())?;
    check_plan(&plan, &params, input, kernels, targets)
}

/// Rules out kernels that transform their weights, which round where others do not:
/// tests/winograd.rs is for them.
pub const EXACT_BUDGET: MemoryBudget = MemoryBudget { extra_weight_bytes: 0 };

/// Every candidate of a plan on every target equals the reference.
pub fn check_plan(
    plan: &Plan,
    params: &[StepParams],
    input: &HostTensor,
    kernels: Kernels,
    targets: &[Target],
) -> Check {
    let text = |error: wgpu_bottleneck::Error| error.to_string();
    let record = |target: &Target, choice: &KernelChoice| -> Result<Recording, String> {
        plan::schedule(plan.clone(), target.gpu.capabilities(), choice, EXACT_BUDGET).map_err(text)
    };
    let first = record(&targets[0], &KernelChoice::Ranked)?;
    let (expected, bound) =
        reference::run_with_bound(&first, params, input).map_err(|error| error.to_string())?;
    if !bound.is_exact() {
        return Err(format!(
            "not exact: the worst sum has {} units, 2^24 is the bound",
            bound.worst
        ));
    }
    targets.par_iter().try_for_each(|target| {
        let forced = kernels.forced(most_candidates(plan, target.gpu.capabilities(), true));
        for choice in std::iter::once(KernelChoice::Ranked).chain(forced.map(KernelChoice::Nth)) {
            let recording = record(target, &choice)?;
            if !is_wanted(&recording) {
                continue;
            }
            let kernels: Vec<String> = recording
                .steps()
                .flat_map(|step| &step.dispatches)
                .map(|d| d.kernel.name())
                .collect();
            check_recording(&target.gpu, recording, params, input, &expected).map_err(|error| {
                format!("{error}; {choice:?} on {}: {}", target.name, kernels.join(", "))
            })?;
        }
        Ok(())
    })
}

/// Runs with a guard band right after every tensor, and with the slots shared as they are, each
/// from poisoned memory: exact, within its memory, and the same bits.
pub fn check_recording(
    gpu: &Gpu,
    recording: Recording,
    params: &[StepParams],
    input: &HostTensor,
    expected: &HostTensor,
) -> Check {
    let mut unshared = recording.clone();
    unshared.unshare_slots();
    let mut runs = Vec::new();
    for (recording, options) in [(unshared, GUARD), (recording, ExecutorOptions::default())] {
        let executor = Executor::new(gpu, recording, params, options);
        runs.push(
            check_run(&mut executor.map_err(|error| error.to_string())?, input, expected)?
                .into_data(),
        );
    }
    let same = runs[0].iter().zip(&runs[1]).all(|(a, b)| a.to_bits() == b.to_bits());
    if same { Ok(()) } else { Err("two runs differ in their bits".to_owned()) }
}

/// A run from poisoned memory: exact, or as near as Winograd's convolution must be, and within its
/// memory.
pub fn check_run(
    executor: &mut Executor,
    input: &HostTensor,
    expected: &HostTensor,
) -> Result<HostTensor, String> {
    let text = |error: wgpu_bottleneck::Error| error.to_string();
    executor.poison().map_err(text)?;
    let output = executor.run(input).map_err(text)?;
    let winograd = executor.recording().steps().any(|step| step.kernel.winograd.is_some());
    let tolerance = if winograd { Tolerance::TRANSFORMED } else { Tolerance::EXACT };
    let comparison = compare(expected, &output, tolerance);
    let broken = executor.broken_guards().map_err(text)?;
    if !broken.is_empty() {
        return Err(format!("written behind the end of {}; {comparison}", broken.join(", ")));
    }
    if comparison.passed() { Ok(output) } else { Err(comparison.to_string()) }
}
