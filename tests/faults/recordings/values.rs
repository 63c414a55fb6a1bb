//! The values of inputs, variables and parameters.

use wgpu_bottleneck::op::{Op, StepParams, TrainOp, UpdateOp};
use wgpu_bottleneck::plan::{Plan, Step, TensorId};
use wgpu_bottleneck::selftest::{Seeded, exact_params};
use wgpu_bottleneck::{HostTensor, Shape};

/// Values for the input or a variable of a plan, as its first reader needs them.
pub fn of(plan: &Plan, id: TensorId, seed: u64) -> HostTensor {
    let reader = plan.steps.iter().find_map(|step| {
        let input = step.inputs.iter().position(|input| *input == id)?;
        Some((step, input))
    });
    let (shape, seed) = (plan.tensor(id).shape, seed.wrapping_add(id.0 as u64));
    match reader.map(|(step, input)| (step.op, input)) {
        Some((Op::Train(op), input)) => of_training(&op, input, shape, seed),
        _ => reals(shape, seed),
    }
}

/// Real numbers in -2 .. 2.
fn reals(shape: Shape, seed: u64) -> HostTensor {
    let mut random = Seeded::new(seed);
    HostTensor::from_fn(shape, |_| random.below(1 << 20) as f32 / (1 << 18) as f32 - 2.0)
}

fn of_training(op: &TrainOp, input: usize, shape: Shape, seed: u64) -> HostTensor {
    let plain = reals(shape, seed);
    let positive = |value: f32| value.abs() + 0.25;
    let columns = |change: fn(usize, f32) -> f32| {
        HostTensor::from_fn(shape, |at| change(at % shape.w, plain.data()[at]))
    };
    match (op, input) {
        (TrainOp::CrossEntropy { classes, .. } | TrainOp::CrossEntropyGrad { classes, .. }, 1) => {
            HostTensor::from_fn(shape, |at| (at * 5 % classes) as f32)
        }
        (TrainOp::Gate, 1) => control(shape),
        (TrainOp::Update(update), _) if input + 1 == update.input_count() => control(shape),
        (TrainOp::Update(UpdateOp::AdamW { .. }), 2) => {
            HostTensor::from_fn(shape, |at| positive(plain.data()[at]))
        }
        // Mean, variance, momentum.
        (TrainOp::NormFrozen { .. }, 0) | (TrainOp::RunningStats { .. }, 1) => {
            columns(|column, value| match column {
                1 => value.abs() + 0.25,
                2 => 0.1,
                _ => value,
            })
        }
        _ => plain,
    }
}

/// Learning rate, flags and corrections.
fn control(shape: Shape) -> HostTensor {
    HostTensor::from_fn(shape, |at| [0.5, 1.0, 1.0, 2.0, 4.0][at % 5])
}

/// The parameters of a step: weights that roughly preserve the magnitude of values.
pub fn params(step: &Step, seed: u64) -> StepParams {
    if step.weights.is_some() {
        return StepParams::None;
    }
    let scale = (step.op.reduction_length() as f32).sqrt().recip();
    let scaled = |weight: Vec<f32>| weight.into_iter().map(|value| value * scale).collect();
    match exact_params(&step.op, &mut Seeded::new(seed)) {
        StepParams::Conv { weight, bias } => StepParams::Conv { weight: scaled(weight), bias },
        StepParams::JoinedConv { main, shortcut, bias } => {
            StepParams::JoinedConv { main: scaled(main), shortcut: scaled(shortcut), bias }
        }
        other => other,
    }
}
