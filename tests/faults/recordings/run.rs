//! Runs an accepted recording, and compares it with the reference step by step.

use std::collections::HashMap;

use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::op::{NORM_COEFFICIENTS, Op, StepParams, TrainOp};
use wgpu_bottleneck::plan::{Location, RecordedStep, Recording, Slot, TensorId};
use wgpu_bottleneck::tensor::{DType, Tolerance, compare};
use wgpu_bottleneck::{Gpu, HostTensor, Shape, reference};

use crate::values;

/// Bytes after each tensor that no kernel may change.
const GUARD: ExecutorOptions = ExecutorOptions { guard_bytes: 4096 };

/// The maximum number of multiply-adds, values and bytes of a recording that is run.
const MOST_WORK: u64 = 1 << 26;

/// The result of a recording that was accepted.
pub enum Outcome {
    Right,
    /// Not run: it would take too long.
    Large,
    Wrong(String),
}

/// The values of a run, by tensor.
type Values = HashMap<TensorId, HostTensor>;

/// Runs a recording twice, on values of this seed.
pub fn run(gpu: &Gpu, recording: &Recording, seed: u64) -> Outcome {
    if work(recording) > MOST_WORK {
        return Outcome::Large;
    }
    match compare_runs(gpu, recording, seed) {
        Ok(()) => Outcome::Right,
        // With some inputs, the sign of a value near zero differs from the reference, and ReLU and
        // its gradient depend on it. A wrong kernel differs with all inputs.
        Err(Differs::Values(first)) => match compare_runs(gpu, recording, seed ^ 0x5eed) {
            Ok(()) => Outcome::Right,
            Err(second) => Outcome::Wrong(format!("{first}; again: {}", second.text())),
        },
        Err(Differs::Memory(text)) => Outcome::Wrong(text),
    }
}

/// Why a recording is wrong.
enum Differs {
    /// A value differs from the reference.
    Values(String),
    /// A guard band or a variable changed, two runs differ, or a call fails.
    Memory(String),
}

impl Differs {
    fn text(self) -> String {
        match self {
            Self::Values(text) | Self::Memory(text) => text,
        }
    }
}

impl<E: std::error::Error> From<E> for Differs {
    fn from(error: E) -> Self {
        Self::Memory(error.to_string())
    }
}

/// Multiply-adds, values and bytes of a recording.
fn work(recording: &Recording) -> u64 {
    let plan = &recording.plan;
    let step = |recorded: &RecordedStep| {
        let output = plan.tensor(recorded.step.output).shape.len() as u64;
        let terms = recorded.step.op.reduction_length() as u64;
        plan.step_flops(&recorded.step).max(output.saturating_mul(terms))
    };
    let tensors = plan.tensors.iter().map(|tensor| tensor.bytes() as u64);
    let slots = recording.slots.iter().map(|slot| slot.bytes as u64);
    recording.steps().map(step).chain(tensors).chain(slots).fold(0, u64::saturating_add)
}

fn compare_runs(gpu: &Gpu, recording: &Recording, seed: u64) -> Result<(), Differs> {
    let plan = &recording.plan;
    let params: Vec<StepParams> =
        recording.steps().map(|recorded| values::params(&recorded.step, seed)).collect();
    let given: Values = plan
        .variables
        .iter()
        .chain([&plan.input])
        .map(|&id| (id, rounded(recording, id, values::of(plan, id, seed))))
        .collect();
    let apart = separate(recording);
    let every = execute(gpu, apart, &params, &given)?;
    let mut before = given.clone();
    for (recorded, params) in recording.steps().zip(&params) {
        let output = recorded.step.output;
        compare_step(recording, recorded, params, &before, &every[&output])?;
        before.insert(output, every[&output].clone());
    }
    let shared = execute(gpu, recording.clone(), &params, &given)?;
    for (id, found) in shared {
        let updated = plan.updates.iter().find(|update| update.to == id);
        let expected = &before[&updated.map_or(id, |update| update.from)];
        if !identical(expected, &found) {
            let name = &plan.tensor(id).name;
            let text = format!("tensor {name} differs between separate and shared slots");
            return Err(Differs::Memory(text));
        }
    }
    Ok(())
}

/// A value as its tensor stores it.
fn rounded(recording: &Recording, id: TensorId, tensor: HostTensor) -> HostTensor {
    let dtype = recording.plan.tensor(id).dtype;
    let stored = dtype.decode(&dtype.encode(tensor.data())).into_owned();
    HostTensor::from_fn(tensor.shape(), |at| stored[at])
}

fn identical(one: &HostTensor, other: &HostTensor) -> bool {
    let same = |(one, other): (&f32, &f32)| one.to_bits() == other.to_bits();
    one.shape() == other.shape() && one.data().iter().zip(other.data()).all(same)
}

/// The same recording with a separate slot for each tensor and scratch, so that the outputs of all
/// steps can be read.
fn separate(recording: &Recording) -> Recording {
    let mut apart = recording.clone();
    let plan = &mut apart.plan;
    for id in (0..plan.tensors.len()).map(TensorId) {
        if id != plan.input && id != plan.output {
            apart.locations[id.0] = Location::Slot(0);
        }
    }
    plan.fetches = plan.steps.iter().map(|step| step.output).collect();
    let output = plan.output;
    plan.fetches.retain(|id| *id != output);
    apart.slots = vec![Slot { bytes: 0 }];
    apart.unshare_slots();
    apart
}

/// Runs a recording with poisoned memory, and reads the output, the fetches and the variables.
fn execute(
    gpu: &Gpu,
    recording: Recording,
    params: &[StepParams],
    given: &Values,
) -> Result<Values, Differs> {
    let mut executor = Executor::new(gpu, recording, params, GUARD)?;
    executor.poison()?;
    let plan = executor.recording().plan.clone();
    for id in &plan.variables {
        executor.write(*id, &given[id])?;
    }
    let output = executor.run(&given[&plan.input])?;
    let broken = executor.broken_guards()?;
    if !broken.is_empty() {
        return Err(Differs::Memory(format!("writes after the end of {}", broken.join(", "))));
    }
    let in_slot =
        |id: &&TensorId| matches!(executor.recording().locations[id.0], Location::Slot(_));
    let mut found = Values::from([(plan.output, output)]);
    for id in plan.fetches.iter().chain(&plan.variables).filter(in_slot) {
        found.insert(*id, executor.read(*id)?);
    }
    Ok(found)
}

/// Compares the output of a step with the reference, on the device's own inputs.
fn compare_step(
    recording: &Recording,
    recorded: &RecordedStep,
    params: &StepParams,
    before: &Values,
    found: &HostTensor,
) -> Result<(), Differs> {
    let step = &recorded.step;
    let inputs: Vec<&HostTensor> = step.inputs.iter().map(|id| &before[id]).collect();
    let weights = step.weights.map(|id| &before[&id]);
    let expected = reference::run_op_by(&step.op, params, &inputs, weights)?;
    let expected = rounded(recording, step.output, expected);
    let half = recorded.kernel.dtype == DType::F16 || recorded.kernel.output_dtype == DType::F16;
    let tolerance = match step.op {
        _ if half => Tolerance::for_half(4),
        Op::Train(TrainOp::NormStats { .. } | TrainOp::NormGradSums { .. }) => {
            Tolerance::relative(1e-3)
        }
        op => Tolerance::relative(2e-5).or(Tolerance::for_sum(DType::F32, op.reduction_length())),
    };
    let rounding = rounding(&step.op, &inputs);
    for (expected, found) in parts(&step.op, &expected).iter().zip(&parts(&step.op, found)) {
        let relative = tolerance.relative.max(rounding / largest(expected));
        let comparison = compare(expected, found, Tolerance { relative, spreads: true });
        if !comparison.passed() {
            let kernel = recorded.kernel.name();
            return Err(Differs::Values(format!("{step}, {kernel}: {comparison}")));
        }
    }
    Ok(())
}

/// The largest rounding error of sums whose terms may cancel each other.
fn rounding(op: &Op, inputs: &[&HostTensor]) -> f64 {
    let Op::Train(op) = op else { return 0.0 };
    let pixels = inputs[0].shape().pixels() as f64;
    let terms = match op {
        TrainOp::WeightGrad { .. } => pixels * largest(inputs[0]) * largest(inputs[1]),
        TrainOp::NormGradSums { .. } => pixels * largest(inputs[1]),
        TrainOp::BiasGrad { .. } => pixels * largest(inputs[0]),
        TrainOp::CrossEntropy { .. } => largest(inputs[0]),
        // A probability near one, less one.
        TrainOp::CrossEntropyGrad { count, .. } => (1.0 + largest(inputs[0])) / *count as f64,
        _ => 0.0,
    };
    1e-6 * terms
}

/// The largest finite absolute value, or the smallest positive number.
fn largest(tensor: &HostTensor) -> f64 {
    let finite = tensor.data().iter().map(|value| f64::from(value.abs()));
    finite.filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max)
}

/// The parts of an output that are compared separately: the numbers of a norm. The mean is the sum
/// of the first two numbers of the statistics. Executors choose these two numbers freely.
fn parts(op: &Op, output: &HostTensor) -> Vec<HostTensor> {
    let (shape, data) = (output.shape(), output.data());
    let is_stats = matches!(op, Op::Train(TrainOp::NormStats { .. }));
    let per_column = is_stats
        || matches!(
            op,
            Op::Train(
                TrainOp::NormFrozen { .. }
                    | TrainOp::RunningStats { .. }
                    | TrainOp::NormGradSums { .. }
            )
        );
    if !per_column {
        return vec![output.clone()];
    }
    let column = |column: usize| {
        HostTensor::from_fn(Shape { w: 1, ..shape }, |channel| {
            let at = channel * shape.w;
            match column {
                0 if is_stats => data[at] + data[at + 1],
                1 if is_stats && shape.w == NORM_COEFFICIENTS => 0.0,
                _ => data[at + column],
            }
        })
    };
    (0..shape.w).map(column).collect()
}
