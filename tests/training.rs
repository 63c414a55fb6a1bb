//! Training: blocks and networks, and PyTorch's numbers on every device. The kernels one by one,
//! and faults in them, are the self test's.

mod blocks;
mod convolutions;
mod networks;
mod norms;
mod slopes;
mod steps;

use crate::common::{Golden, golden_dir};
use wgpu_bottleneck::error::{Error, ShapeError};
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::network::{BlockTrainingPlan, plan_block_training};
use wgpu_bottleneck::op::{Conv, Epilogue, Op, Scalar, StepParams, TrainOp, WeightLayout};
use wgpu_bottleneck::plan::{
    KernelChoice, MemoryBudget, Plan, PlanKind, Recording, Role, Step, TensorId, TensorInfo,
    schedule,
};
use wgpu_bottleneck::reference::all_tensors;
use wgpu_bottleneck::tensor::ChannelLayout;
use wgpu_bottleneck::{
    BlockState, BlockTrainer, Gpu, HostTensor, LoadOptions, Shape, StateDict, TrainingOptions,
    TrainingStep,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How far outputs and statistics may be from PyTorch's in float64, as a share of the largest
/// value,
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
    Ok(TrainingOptions { bn_momentum: momentum, ..TrainingOptions::default() })
}

fn load(gpu: &Gpu, golden: &Golden, loading: &LoadOptions) -> Result<BlockTrainer> {
    let block = BlockState::from_state_dict(&golden.dict, "block", &golden.options)?;
    Ok(BlockTrainer::load(gpu, block, golden.input.shape(), &options(golden)?, loading)?)
}

/// The largest difference, as a share of the largest expected value.
fn off(expected: &[f32], found: &[f32]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let largest =
        expected.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
    let error = expected.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // A NaN is no number that a maximum keeps, here or where this is compared.
    let worst = error.fold(
        0.0,
        |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) },
    );
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
        assert_eq!(
            golden.dict.counter(&format!("after.{key}"))?,
            Some(*batches),
            "{}: {key}",
            golden.name
        );
    }
    assert_eq!(step.statistics.len() + step.batches.len(), of("after."), "{}", golden.name);
    backward =
        backward.max(off(golden.dict.nchw("grad.input")?.data(), step.gradients.input.data()));
    for (key, dims, values) in &step.gradients.parameters {
        let expected = expected(&format!("grad.{key}"))?;
        assert_eq!(&expected.dims, dims, "{}: {key}", golden.name);
        backward = backward.max(off(&expected.data, values));
    }
    assert_eq!(step.gradients.parameters.len() + 1, of("grad."), "{}", golden.name);
    Ok((forward, backward))
}
