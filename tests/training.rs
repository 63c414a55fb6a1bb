//! Training: blocks and networks, PyTorch's numbers on every device, every kernel against the reference, and faults that must show.

#[path = "training/blocks.rs"]
mod blocks;
mod common;
#[path = "training/convolutions.rs"]
mod convolutions;
#[path = "training/networks.rs"]
mod networks;
#[path = "training/norms.rs"]
mod norms;
#[path = "training/slopes.rs"]
mod slopes;
#[path = "training/steps.rs"]
mod steps;

use common::seeded::small_integers;
use common::{Golden, golden_dir};
use wgpu_bottleneck::error::{Error, ShapeError};
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::kernel::Family;
use wgpu_bottleneck::network::{BlockTraining, plan_block_training};
use wgpu_bottleneck::op::{Conv, Epilogue, Op, Scalar, StepParams, TrainOp, WeightLayout};
use wgpu_bottleneck::plan::{
    KernelChoice, MemoryBudget, Plan, PlanKind, Recording, Role, Step, TensorId, TensorInfo, schedule,
};
use wgpu_bottleneck::reference::all_tensors;
use wgpu_bottleneck::shader::Patch;
use wgpu_bottleneck::tensor::ChannelLayout;
use wgpu_bottleneck::{
    Gpu, HostTensor, LoadOptions, Shape, StateDict, TrainableBlock, TrainedBlock, TrainingOptions, TrainingStep,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How far outputs and statistics may be from PyTorch's in float64, as a share of the largest value,
const FORWARD: f64 = 1e-5;
/// and gradients.
const BACKWARD: f64 = 2e-5;

fn goldens() -> Result<Vec<Golden>> {
    let mut paths: Vec<_> = std::fs::read_dir(golden_dir().join("training"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::result::Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.retain(|path| !path.ends_with("batchnorm.safetensors"));
    paths.sort();
    paths.iter().map(|path| Golden::open(path)).collect()
}

fn options(golden: &Golden) -> Result<TrainingOptions> {
    let momentum = match golden.dict.metadata("momentum").ok_or("no momentum")? {
        "none" => None,
        number => Some(number.parse()?),
    };
    Ok(TrainingOptions { momentum })
}

fn load(gpu: &Gpu, golden: &Golden, loading: &LoadOptions) -> Result<TrainedBlock> {
    let block = TrainableBlock::from_state_dict(&golden.dict, "block", &golden.options)?;
    Ok(TrainedBlock::load(gpu, block, golden.input.shape(), &options(golden)?, loading)?)
}

/// The largest difference, as a share of the largest expected value.
fn off(expected: &[f32], found: &[f32]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
    let error = expected.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // A NaN is no number that a maximum keeps, here or where this is compared.
    let worst = error.fold(0.0, |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) });
    if worst == 0.0 { 0.0 } else { worst / largest }
}

/// Holds a step against a golden; how far forward and backward are off at most.
fn check(golden: &Golden, step: &TrainingStep) -> Result<(f64, f64)> {
    let (mut forward, mut backward) = (off(golden.output.data(), step.out.data()), 0.0_f64);
    let expected = |key: &str| golden.dict.tensor(key);
    let of = |prefix: &str| golden.dict.keys().filter(|key| key.starts_with(prefix)).count();
    for (key, values) in &step.statistics {
        forward = forward.max(off(&expected(&format!("after.{key}"))?.data, values));
    }
    for (key, batches) in &step.batches {
        assert_eq!(golden.dict.counter(&format!("after.{key}"))?, Some(*batches), "{}: {key}", golden.name);
    }
    assert_eq!(step.statistics.len() + step.batches.len(), of("after."), "{}", golden.name);
    backward = backward.max(off(golden.dict.image("grad.input")?.data(), step.gradients.input.data()));
    for (key, dims, values) in &step.gradients.parameters {
        let expected = expected(&format!("grad.{key}"))?;
        assert_eq!(&expected.dims, dims, "{}: {key}", golden.name);
        backward = backward.max(off(&expected.data, values));
    }
    assert_eq!(step.gradients.parameters.len() + 1, of("grad."), "{}", golden.name);
    Ok((forward, backward))
}

/// One step as a plan: its first input the caller's, what else it reads given, its output last.
fn single(op: Op, tensors: Vec<TensorInfo>, weights: Option<TensorId>) -> Plan {
    let output = TensorId(tensors.len() - 1);
    let reads: Vec<TensorId> = (0..output.0).map(TensorId).collect();
    let inputs = reads.iter().copied().filter(|id| Some(*id) != weights).collect();
    let step = Step { block: 0, module: op.name().to_owned(), role: Role::Training, op, inputs, weights, output };
    Plan {
        kind: PlanKind::Unfused,
        tensors,
        steps: vec![step],
        blocks: vec![0..1; 1],
        input: TensorId(0),
        output,
        given: reads[1..].to_vec(),
        kept: Vec::new(),
        carried: Vec::new(),
    }
}

/// Runs a plan of one step on integers, from NaN in all other memory and with guard bands, by one candidate: what is wrong, if anything.
fn wrong_by(gpu: &Gpu, plan: &Plan, candidate: usize) -> Result<Option<String>> {
    let reads = plan.tensors.len() - 1;
    let integers = (1..).zip(&plan.tensors[..reads]).map(|(seed, info)| small_integers(info.shape, seed));
    wrong_on(gpu, plan, &integers.collect::<Vec<HostTensor>>(), candidate, 0.0)
}

/// [`wrong_by`] on these tensors, where numbers may be off by this share of the largest.
fn wrong_on(
    gpu: &Gpu,
    plan: &Plan,
    tensors: &[HostTensor],
    candidate: usize,
    tolerance: f64,
) -> Result<Option<String>> {
    let reads = plan.tensors.len() - 1;
    let given: Vec<(TensorId, &HostTensor)> = (0..).map(TensorId).zip(tensors).collect();
    let choice = KernelChoice::Nth(candidate);
    let mut recording = schedule(plan.clone(), gpu.capabilities(), &choice, MemoryBudget::default())?;
    recording.unshare_slots();
    let step = recording.steps().next();
    let kernel = step.map(|step| step.kernel.name()).unwrap_or_default();
    let is_winograd = step.is_some_and(|step| step.kernel.winograd.is_some());
    // Its transforms multiply by numbers that are no integers.
    let tolerance = if is_winograd { FORWARD } else { tolerance };
    let every = all_tensors(&recording, &[StepParams::None], &given)?;
    let expected: Vec<f32> = every[reads].data.iter().map(|&value| value as f32).collect();
    let options = ExecutorOptions { guard_bytes: 256 };
    let mut executor = Executor::new(gpu, recording, &[StepParams::None], options)?;
    let (first, second) = (executor.probe(&given)?, executor.probe(&given)?);
    let op = plan.steps[0].op;
    let right = match tolerance {
        0.0 => first.output.data() == expected,
        _ => off(&expected, first.output.data()) <= tolerance,
    };
    if !right {
        return Ok(Some(format!("{kernel}: wrong numbers of {op:?}")));
    }
    let untouched = first.padding.is_none() && first.broken_guards.is_empty() && first.changed.is_empty();
    let good = untouched && second.output == first.output;
    Ok((!good)
        .then(|| format!("{kernel}: {:?} {:?} {:?} of {op:?}", first.padding, first.broken_guards, first.changed)))
}

#[test]
fn every_kernel_of_training_has_mutants() {
    let mutants = convolutions::MUTANTS.iter().chain(&norms::MUTANTS).chain(&steps::MUTANTS).map(|(file, ..)| *file);
    let files: Vec<&str> = mutants.chain(norms::BLOCK_MUTANTS.iter().map(|(file, ..)| *file)).collect();
    for family in Family::ALL.into_iter().filter(|family| family.is_training()) {
        assert!(files.iter().filter(|file| **file == family.file()).count() >= 2, "{}", family.name());
    }
}
