//! Completes a changed recording: computes all values that its operations and its input determine.

use wgpu_bottleneck::kernel::{self, Capabilities};
use wgpu_bottleneck::op::{
    Conv, NORM_COEFFICIENTS, NORM_RUNNING, NORM_SUMS, Op, TrainOp, WeightLayout,
};
use wgpu_bottleneck::plan::{
    Dispatch, Location, Plan, RecordedStep, Recording, Scratch, Slot, Step, TensorId,
};
use wgpu_bottleneck::tensor::ChannelLayout;
use wgpu_bottleneck::{Result, Shape};

/// Completes a recording, so that it may be accepted. `choose` selects one of a number of kernels.
/// `None` if the recording cannot be completed.
pub fn complete(
    recording: &mut Recording,
    capabilities: &Capabilities,
    mut choose: impl FnMut(usize) -> usize,
) -> Option<()> {
    for segment in &mut recording.segments {
        for recorded in &mut segment.steps {
            complete_step(&mut recording.plan, &mut recorded.step)?;
        }
    }
    copy_steps(recording);
    let tensors = recording.plan.tensors.len();
    if recording.locations.len() != tensors {
        return None;
    }
    let Recording { plan, slots, segments, .. } = recording;
    for recorded in segments.iter_mut().flat_map(|segment| &mut segment.steps) {
        complete_kernel(plan, recorded, slots, capabilities, &mut choose).ok()??;
    }
    for (location, tensor) in recording.locations.iter().zip(&recording.plan.tensors) {
        if let Location::Slot(slot) = location
            && let Some(slot) = recording.slots.get_mut(*slot)
        {
            slot.bytes = slot.bytes.max(tensor.bytes());
        }
    }
    Some(())
}

/// Sets the plan's steps and blocks from the segments.
fn copy_steps(recording: &mut Recording) {
    let Recording { plan, segments, .. } = recording;
    plan.steps.clear();
    plan.blocks.clear();
    for (index, segment) in segments.iter_mut().enumerate() {
        let first = plan.steps.len();
        segment.block = index;
        plan.steps.extend(segment.steps.iter().map(|recorded| recorded.step.clone()));
        plan.blocks.push(first..plan.steps.len());
    }
    let written = |id: &TensorId| plan.steps.iter().any(|step| step.output == *id);
    let lost: Vec<TensorId> = plan
        .fetches
        .iter()
        .chain(plan.updates.iter().map(|update| &update.from))
        .filter(|id| !written(id) && !plan.variables.contains(id))
        .copied()
        .collect();
    plan.fetches.retain(|id| !lost.contains(id));
    plan.updates.retain(|update| !lost.contains(&update.from));
}

/// Completes a step's operation from its inputs, and the tensors that the operation determines.
fn complete_step(plan: &mut Plan, step: &mut Step) -> Option<()> {
    let known = plan.tensors.len();
    if step.inputs.is_empty() || step.reads().chain([step.output]).any(|id| id.0 >= known) {
        return None;
    }
    let shapes = plan.input_shapes(step);
    fit_operation(&mut step.op, &shapes);
    complete_inputs(plan, step)?;
    let output = step.op.output_shape(&plan.input_shapes(step)).ok()?;
    complete_output(plan, step, output);
    Some(())
}

/// Sets the channels of an operation to the channels of its inputs.
fn fit_operation(op: &mut Op, inputs: &[Shape]) {
    let read = inputs[0].c;
    match op {
        Op::Conv { conv, .. } => conv.in_channels = read,
        Op::JoinedConv { main, shortcut, .. } => {
            main.in_channels = read;
            shortcut.in_channels = inputs.get(1).map_or(read, |shape| shape.c);
            shortcut.out_channels = main.out_channels;
        }
        Op::BatchNorm { channels, .. }
        | Op::MaxPool { channels, .. }
        | Op::GlobalAvgPool { channels }
        | Op::Add { channels, .. }
        | Op::Convert { channels, .. } => *channels = read,
        Op::Train(op) => fit_training(op, inputs),
        _ => {}
    }
}

fn fit_training(op: &mut TrainOp, inputs: &[Shape]) {
    let read = inputs[0].c;
    match op {
        TrainOp::NormStats { channels, .. }
        | TrainOp::NormFrozen { channels, .. }
        | TrainOp::NormApply { channels, .. }
        | TrainOp::RunningStats { channels, .. }
        | TrainOp::NormGradSums { channels, .. }
        | TrainOp::NormGrad { channels, .. }
        | TrainOp::ReluGrad { channels }
        | TrainOp::MaxPoolGrad { channels, .. }
        | TrainOp::AvgPoolGrad { channels, .. }
        | TrainOp::AddBias { channels }
        | TrainOp::BiasGrad { channels } => *channels = read,
        TrainOp::InputGrad { conv, .. } => conv.out_channels = read,
        TrainOp::WeightGrad { conv } => conv.in_channels = read,
        TrainOp::CrossEntropy { classes, .. } | TrainOp::CrossEntropyGrad { classes, .. } => {
            *classes = read;
        }
        _ => {}
    }
}

fn grouped(channels: usize, conv: Conv) -> ChannelLayout {
    if conv.groups == 1 {
        ChannelLayout::dense(channels)
    } else {
        ChannelLayout::grouped(channels, conv.groups)
    }
}

/// Sets the shapes and layouts of the inputs that the first input determines.
fn complete_inputs(plan: &mut Plan, step: &Step) -> Option<()> {
    let first = plan.tensor(step.inputs[0]);
    let (first, layout) = (first.shape, first.layout);
    let inputs = match step.op {
        Op::Conv { conv, .. } => {
            let output = conv.output_shape(first).ok()?;
            vec![(0, first, grouped(first.c, conv)), (1, output, grouped(output.c, conv))]
        }
        Op::Add { .. } => vec![(1, first, layout)],
        Op::Train(op) => training_inputs(op, first)?,
        _ => Vec::new(),
    };
    for (input, shape, layout) in inputs {
        if let Some(id) = step.inputs.get(input) {
            let tensor = &mut plan.tensors[id.0];
            (tensor.shape, tensor.layout) = (shape, layout);
        }
    }
    Some(())
}

/// The inputs of a training operation that the first input determines: index, shape, layout.
fn training_inputs(op: TrainOp, first: Shape) -> Option<Vec<(usize, Shape, ChannelLayout)>> {
    let dense = |input: usize, shape: Shape| (input, shape, ChannelLayout::dense(shape.c));
    let values =
        |input: usize, count: usize| dense(input, Shape { n: 1, c: first.c, h: 1, w: count });
    let pixel = Shape { h: 1, w: 1, ..first };
    Some(match op {
        TrainOp::InputGrad { conv, height, width } => {
            let image = Shape { n: first.n, c: conv.in_channels, h: height, w: width };
            let gradient = conv.output_shape(image).ok()?;
            vec![(0, gradient, grouped(gradient.c, conv))]
        }
        TrainOp::WeightGrad { conv } => {
            let gradient = conv.output_shape(first).ok()?;
            vec![(0, first, grouped(first.c, conv)), (1, gradient, grouped(gradient.c, conv))]
        }
        TrainOp::NormStats { .. } => vec![values(1, 2)],
        TrainOp::NormFrozen { .. } => vec![values(0, NORM_RUNNING), values(1, 2)],
        TrainOp::NormApply { .. } => vec![values(1, NORM_COEFFICIENTS), dense(2, first)],
        TrainOp::RunningStats { .. } => vec![values(0, NORM_COEFFICIENTS), values(1, NORM_RUNNING)],
        TrainOp::NormGradSums { .. } => vec![dense(1, first), values(2, NORM_COEFFICIENTS)],
        TrainOp::NormGrad { .. } => vec![dense(1, first), values(2, NORM_SUMS)],
        TrainOp::ReluGrad { .. } => vec![dense(1, first)],
        TrainOp::AddBias { .. } => vec![values(1, 1)],
        TrainOp::MaxPoolGrad { channels, windows } => {
            vec![dense(1, Op::MaxPool { channels, windows }.output_shape(&[first]).ok()?)]
        }
        TrainOp::AvgPoolGrad { .. } => vec![dense(0, pixel)],
        TrainOp::CrossEntropy { .. } | TrainOp::CrossEntropyGrad { .. } => {
            vec![dense(0, pixel), dense(1, Shape { c: 1, ..pixel })]
        }
        _ => Vec::new(),
    })
}

/// Sets shape, layout and weights of the output, and the layout of a step's weights.
fn complete_output(plan: &mut Plan, step: &Step, shape: Shape) {
    let [first, last] = [step.inputs.first(), step.inputs.last()]
        .map(|id| id.map_or(ChannelLayout::dense(1), |id| plan.tensor(*id).layout));
    let layout = match step.op {
        Op::Conv { conv, .. } | Op::Train(TrainOp::InputGrad { conv, .. }) => {
            grouped(shape.c, conv)
        }
        Op::BatchNorm { .. } | Op::Add { .. } | Op::MaxPool { .. } | Op::GlobalAvgPool { .. } => {
            first
        }
        _ => ChannelLayout::dense(shape.c),
    };
    let output = step.output.0;
    let written = match step.op {
        Op::Train(TrainOp::WeightGrad { conv }) => {
            Some(WeightLayout { conv, input: first, output: last })
        }
        Op::Train(TrainOp::MirroredWeights { .. } | TrainOp::Update(_)) => {
            plan.tensors[output].weights
        }
        _ => None,
    };
    (plan.tensors[output].shape, plan.tensors[output].layout) = (shape, layout);
    plan.tensors[output].weights = written;
    let read = match step.op {
        Op::Conv { conv, .. } => Some(WeightLayout { conv, input: first, output: layout }),
        Op::Train(TrainOp::InputGrad { conv, .. }) => {
            Some(WeightLayout { conv, input: layout, output: first })
        }
        _ => None,
    };
    if let (Some(id), Some(weights)) = (step.weights, read) {
        let tensor = &mut plan.tensors[id.0];
        tensor.shape = weights.conv.weight_shape();
        tensor.layout = ChannelLayout::dense(tensor.shape.c);
        tensor.weights = Some(weights);
    }
}

/// Replaces a step's kernel unless it is a candidate, and sets the values that the kernel
/// determines.
fn complete_kernel(
    plan: &Plan,
    recorded: &mut RecordedStep,
    slots: &mut Vec<Slot>,
    capabilities: &Capabilities,
    choose: &mut impl FnMut(usize) -> usize,
) -> Result<Option<()>> {
    let problem = plan.problem(&recorded.step);
    let candidates = kernel::candidates(&problem, capabilities);
    if !candidates.contains(&recorded.kernel) {
        if candidates.is_empty() {
            return Ok(None);
        }
        recorded.kernel = candidates[choose(candidates.len())];
    }
    recorded.dispatches = Dispatch::all(&recorded.kernel, &problem, capabilities)?;
    let bytes = recorded.kernel.scratch_bytes(&problem);
    if recorded.scratch.iter().map(|scratch| scratch.bytes).ne(bytes.iter().copied()) {
        recorded.scratch.clear();
        for bytes in bytes {
            slots.push(Slot { bytes });
            recorded.scratch.push(Scratch { slot: slots.len() - 1, bytes });
        }
    }
    Ok(Some(()))
}
