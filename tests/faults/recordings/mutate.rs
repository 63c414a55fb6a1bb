//! Random changes of a recording.

use std::rc::Rc;

use wgpu_bottleneck::kernel::{Kernel, all_specialisations};
use wgpu_bottleneck::op::{Conv, KernelSize, Op, PoolWindows, TrainOp, WeightLayout};
use wgpu_bottleneck::plan::{Location, Recording, Scratch, TensorId, Update};
use wgpu_bottleneck::tensor::{ChannelLayout, DType};

/// Sizes around the limits of types, devices and kernels.
const EDGES: [usize; 26] = [
    0,
    255,
    256,
    1024,
    65_535,
    65_536,
    1 << 20,
    (1 << 24) - 1,
    1 << 24,
    (1 << 24) + 1,
    1 << 27,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    1 << 33,
    1 << 40,
    1 << 58,
    1 << 59,
    1 << 60,
    1 << 61,
    (1 << 62) + 3,
    usize::MAX >> 1,
    (usize::MAX >> 1) + 2,
    usize::MAX,
];

/// Draws the values of changes.
pub struct Draw {
    /// A number below a bound that is not zero.
    random: Box<dyn FnMut(usize) -> usize>,
    kernels: Rc<[Kernel]>,
}

type Change = fn(&mut Draw, &mut Recording);

/// Changes after which a recording can often be completed, with their names.
const MILD: &[(&str, Change)] = &[
    ("shape", shape),
    ("channels", channels),
    ("operation", operation),
    ("operation", operation),
    ("kernel", kernel),
    ("slot of a tensor", slot_of_a_tensor),
    ("fetch", fetch),
    ("larger slot", larger_slot),
    ("remove a block", remove_block),
];

/// Other changes, with their names.
const WILD: &[(&str, Change)] = &[
    ("layout", layout),
    ("weights", weights),
    ("type", dtype),
    ("location", location),
    ("slot", slot),
    ("input", |draw, recording| recording.plan.input = draw.id(recording)),
    ("output", |draw, recording| recording.plan.output = draw.id(recording)),
    ("block", block),
    ("variable", variable),
    ("update", update),
    ("segment", segment),
    ("steps", steps),
    ("inputs of a step", inputs_of_a_step),
    ("output of a step", output_of_a_step),
    ("weights of a step", weights_of_a_step),
    ("dispatch", dispatch),
    ("scratch", scratch),
    ("fields of a kernel", kernel_fields),
];

impl Draw {
    /// `random` returns a number below a bound that is not zero.
    pub fn new(random: impl FnMut(usize) -> usize + 'static) -> Self {
        Self { random: Box::new(random), kernels: all_specialisations().into() }
    }

    /// The same with other random numbers.
    pub fn with(&self, random: impl FnMut(usize) -> usize + 'static) -> Self {
        Self { random: Box::new(random), kernels: Rc::clone(&self.kernels) }
    }

    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.random)(bound) }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A size: mostly small, sometimes at an edge or near it.
    fn size(&mut self) -> usize {
        match self.below(8) {
            0 => self.pick(&EDGES),
            1 => self.pick(&EDGES).wrapping_add(self.below(9)).wrapping_sub(4),
            _ => 1 + self.below(24),
        }
    }

    /// A stride or a dilation.
    fn step(&mut self) -> usize {
        if self.below(3) == 0 { self.size() } else { 1 + self.below(4) }
    }

    fn id(&mut self, recording: &Recording) -> TensorId {
        let known = recording.plan.tensors.len();
        TensorId(if self.below(6) == 0 { self.size() } else { self.below(known) })
    }

    /// Changes a recording one to three times, and returns the names of the changes.
    pub fn change(&mut self, recording: &mut Recording, wild: bool) -> String {
        let mut names = Vec::new();
        for _ in 0..1 + self.below(3) {
            let table = if wild && self.below(2) == 0 { WILD } else { MILD };
            let (name, change) = self.pick(table);
            change(self, recording);
            names.push(name);
        }
        names.join(", ")
    }
}

fn shape(draw: &mut Draw, recording: &mut Recording) {
    let tensor = draw.below(recording.plan.tensors.len());
    // The input determines most other shapes.
    let tensor = if draw.below(2) == 0 { 0 } else { tensor };
    let size = draw.size();
    let shape = &mut recording.plan.tensors[tensor].shape;
    match draw.below(3) {
        0 => shape.n = size,
        1 => shape.h = size,
        _ => shape.w = size,
    }
}

fn channels(draw: &mut Draw, recording: &mut Recording) {
    let (tensor, channels) = (draw.below(recording.plan.tensors.len()), draw.size());
    let tensor = &mut recording.plan.tensors[tensor];
    tensor.shape.c = channels;
    tensor.layout = ChannelLayout::dense(channels);
}

fn layout(draw: &mut Draw, recording: &mut Recording) {
    let (tensor, size) = (draw.below(recording.plan.tensors.len()), draw.size());
    let layout = &mut recording.plan.tensors[tensor].layout;
    match draw.below(3) {
        0 => layout.groups = size,
        1 => layout.per_group = size,
        // Padded groups of the same number of channels.
        _ => *layout = ChannelLayout::grouped(layout.channels(), 2),
    }
}

fn conv(draw: &mut Draw, conv: &mut Conv) {
    match draw.below(7) {
        0 => conv.in_channels = draw.size(),
        1 | 2 => conv.out_channels = draw.size(),
        3 => conv.stride = draw.step(),
        4 => conv.dilation = draw.step(),
        5 => conv.groups = [0, 1, 2, 3, 4, 1 << 32][draw.below(6)],
        _ => {
            conv.kernel = [KernelSize::One, KernelSize::Three, KernelSize::Seven][draw.below(3)];
        }
    }
}

fn weights(draw: &mut Draw, recording: &mut Recording) {
    let tensor = draw.below(recording.plan.tensors.len());
    let sizes = [draw.size(), draw.size()];
    let tensor = &mut recording.plan.tensors[tensor];
    match &mut tensor.weights {
        Some(weights) => match draw.below(3) {
            0 => conv(draw, &mut weights.conv),
            1 => weights.input = ChannelLayout { groups: sizes[0], per_group: sizes[1] },
            _ => weights.output.groups = sizes[0],
        },
        None => {
            let mut with = Conv::conv3x3(sizes[0], sizes[1], 1, 1, 1);
            conv(draw, &mut with);
            let (input, output) = (tensor.layout, tensor.layout);
            tensor.weights = Some(WeightLayout { conv: with, input, output });
        }
    }
}

fn dtype(draw: &mut Draw, recording: &mut Recording) {
    let tensor = draw.below(recording.plan.tensors.len());
    let dtype = &mut recording.plan.tensors[tensor].dtype;
    *dtype = if *dtype == DType::F32 { DType::F16 } else { DType::F32 };
}

fn location(draw: &mut Draw, recording: &mut Recording) {
    let tensor = draw.below(recording.locations.len());
    recording.locations[tensor] = match draw.below(3) {
        0 => Location::Input,
        1 => Location::Output,
        _ => Location::Slot(draw.size()),
    };
}

fn slot_of_a_tensor(draw: &mut Draw, recording: &mut Recording) {
    let (tensor, slot) =
        (draw.below(recording.locations.len()), draw.below(recording.slots.len() + 1));
    if let Location::Slot(at) = &mut recording.locations[tensor] {
        *at = slot;
    }
}

fn larger_slot(draw: &mut Draw, recording: &mut Recording) {
    let more = draw.below(1000);
    let slot = draw.below(recording.slots.len());
    recording
        .slots
        .get_mut(slot)
        .into_iter()
        .for_each(|slot| slot.bytes = slot.bytes.saturating_add(more));
}

fn slot(draw: &mut Draw, recording: &mut Recording) {
    let (slot, bytes) = (draw.below(recording.slots.len()), draw.size());
    recording.slots.get_mut(slot).into_iter().for_each(|slot| slot.bytes = bytes);
}

fn block(draw: &mut Draw, recording: &mut Recording) {
    let block = draw.below(recording.plan.blocks.len());
    let range = draw.size()..draw.size();
    recording.plan.blocks.get_mut(block).into_iter().for_each(|block| *block = range.clone());
}

fn fetch(draw: &mut Draw, recording: &mut Recording) {
    let id = draw.id(recording);
    recording.plan.fetches.push(id);
}

fn variable(draw: &mut Draw, recording: &mut Recording) {
    let id = draw.id(recording);
    recording.plan.variables.push(id);
}

fn update(draw: &mut Draw, recording: &mut Recording) {
    let (from, mut to) = (draw.id(recording), draw.id(recording));
    if let Some(variable) = recording.plan.variables.get(draw.below(4)) {
        to = *variable;
    }
    recording.plan.updates.push(Update { from, to });
}

fn segment(draw: &mut Draw, recording: &mut Recording) {
    let segment = draw.below(recording.segments.len());
    match draw.below(2) {
        0 => recording.segments[segment].block = draw.size(),
        _ => drop(recording.segments.remove(segment)),
    }
    // Every base has a segment, and later changes need one.
    if recording.segments.is_empty() {
        recording.segments.push(wgpu_bottleneck::plan::Segment { block: 0, steps: Vec::new() });
    }
}

/// Removes the last block, because no other step reads its tensors.
fn remove_block(_: &mut Draw, recording: &mut Recording) {
    if recording.segments.len() > 1 {
        recording.segments.pop();
        let outputs = recording.segments.last().and_then(|segment| segment.steps.last());
        if let Some(last) = outputs {
            let (old, new) = (recording.plan.output, last.step.output);
            recording.plan.output = new;
            // An earlier change may have made an identifier invalid.
            if old.0.max(new.0) < recording.locations.len() {
                recording.locations.swap(old.0, new.0);
            }
        }
    }
}

/// The position of a random step; `None` if the segment has none.
fn position(draw: &mut Draw, recording: &Recording) -> Option<(usize, usize)> {
    let segment = draw.below(recording.segments.len());
    let steps = recording.segments[segment].steps.len();
    (steps > 0).then(|| (segment, draw.below(steps)))
}

fn steps(draw: &mut Draw, recording: &mut Recording) {
    let Some((segment, at)) = position(draw, recording) else { return };
    let steps = &mut recording.segments[segment].steps;
    match draw.below(3) {
        0 => drop(steps.remove(at)),
        1 => {
            let again = steps[at].clone();
            steps.push(again);
        }
        _ => steps.swap(0, at),
    }
}

fn inputs_of_a_step(draw: &mut Draw, recording: &mut Recording) {
    let (Some((segment, at)), id) = (position(draw, recording), draw.id(recording)) else { return };
    let inputs = &mut recording.segments[segment].steps[at].step.inputs;
    match draw.below(3) {
        0 => drop(inputs.pop()),
        1 => inputs.push(id),
        _ => {
            let input = draw.below(inputs.len());
            inputs.get_mut(input).into_iter().for_each(|input| *input = id);
        }
    }
}

fn output_of_a_step(draw: &mut Draw, recording: &mut Recording) {
    let (Some((segment, at)), id) = (position(draw, recording), draw.id(recording)) else { return };
    recording.segments[segment].steps[at].step.output = id;
}

fn weights_of_a_step(draw: &mut Draw, recording: &mut Recording) {
    let (Some((segment, at)), id) = (position(draw, recording), draw.id(recording)) else { return };
    let id = (draw.below(3) > 0).then_some(id);
    recording.segments[segment].steps[at].step.weights = id;
}

fn kernel(draw: &mut Draw, recording: &mut Recording) {
    let Some((segment, at)) = position(draw, recording) else { return };
    let chosen = draw.below(draw.kernels.len());
    recording.segments[segment].steps[at].kernel = draw.kernels[chosen];
}

fn kernel_fields(draw: &mut Draw, recording: &mut Recording) {
    let Some((segment, at)) = position(draw, recording) else { return };
    let size = draw.size() as u32;
    let kernel = &mut recording.segments[segment].steps[at].kernel;
    match draw.below(8) {
        0 => kernel.tile.workgroup_x = size,
        1 => kernel.tile.workgroup_y = size,
        2 => kernel.tile.rows_per_thread = size,
        3 => kernel.tile.cols_per_thread = size,
        4 => kernel.strided = !kernel.strided,
        5 => kernel.k_slices = size,
        6 => kernel.matrix_side = size,
        _ => kernel.transforms_weights_each_run = !kernel.transforms_weights_each_run,
    }
}

fn dispatch(draw: &mut Draw, recording: &mut Recording) {
    let Some((segment, at)) = position(draw, recording) else { return };
    let dispatches = &mut recording.segments[segment].steps[at].dispatches;
    let chosen = draw.below(dispatches.len());
    let Some(dispatch) = dispatches.get_mut(chosen) else { return };
    match draw.below(4) {
        0 => drop(dispatches.remove(chosen)),
        1 => {
            let byte = draw.below(dispatch.params.len());
            dispatch.params.get_mut(byte).into_iter().for_each(|byte| *byte ^= 1);
        }
        2 => dispatch.params.truncate(draw.below(20)),
        _ => dispatch.workgroups[draw.below(3)] = draw.size() as u32,
    }
}

fn scratch(draw: &mut Draw, recording: &mut Recording) {
    let Some((segment, at)) = position(draw, recording) else { return };
    let (slot, bytes) = (draw.size(), draw.size());
    let scratch = &mut recording.segments[segment].steps[at].scratch;
    match scratch.last_mut() {
        Some(last) if draw.below(2) == 0 => last.slot = slot,
        Some(last) => last.bytes = bytes,
        None => scratch.push(Scratch { slot, bytes }),
    }
}

fn operation(draw: &mut Draw, recording: &mut Recording) {
    let Some((segment, at)) = position(draw, recording) else { return };
    let op = &mut recording.segments[segment].steps[at].step.op;
    match op {
        Op::Conv { conv: changed, epilogue } => match draw.below(5) {
            0 => epilogue.bias = !epilogue.bias,
            1 => epilogue.relu = !epilogue.relu,
            _ => conv(draw, changed),
        },
        Op::JoinedConv { main, shortcut, relu } => match draw.below(3) {
            0 => *relu = !*relu,
            1 => conv(draw, main),
            _ => conv(draw, shortcut),
        },
        Op::BatchNorm { channels, relu } | Op::Add { channels, relu } => match draw.below(2) {
            0 => *relu = !*relu,
            _ => *channels = draw.size(),
        },
        Op::MaxPool { windows, .. } => *windows = other_windows(*windows),
        Op::GlobalAvgPool { channels } => *channels = draw.size(),
        Op::Convert { to, .. } => *to = if *to == DType::F32 { DType::F16 } else { DType::F32 },
        Op::Train(op) => training(draw, op),
        _ => {}
    }
}

fn other_windows(windows: PoolWindows) -> PoolWindows {
    match windows {
        PoolWindows::Padded => PoolWindows::CeilMode,
        PoolWindows::CeilMode => PoolWindows::Padded,
    }
}

fn training(draw: &mut Draw, op: &mut TrainOp) {
    match op {
        TrainOp::MirroredWeights { conv: changed } | TrainOp::WeightGrad { conv: changed } => {
            conv(draw, changed);
        }
        TrainOp::InputGrad { conv: changed, height, width } => match draw.below(3) {
            0 => *height = draw.size(),
            1 => *width = draw.size(),
            _ => conv(draw, changed),
        },
        TrainOp::AvgPoolGrad { height, width, .. } => match draw.below(2) {
            0 => *height = draw.size(),
            _ => *width = draw.size(),
        },
        TrainOp::CrossEntropy { classes, .. } => *classes = draw.size(),
        TrainOp::CrossEntropyGrad { classes, count, .. } => match draw.below(2) {
            0 => *count = draw.size(),
            _ => *classes = draw.size(),
        },
        TrainOp::RunningStats { channels, count } => match draw.below(2) {
            0 => *count = draw.size(),
            _ => *channels = draw.size(),
        },
        TrainOp::NormApply { channels, relu, .. }
        | TrainOp::NormGradSums { channels, relu, .. }
        | TrainOp::NormGrad { channels, relu } => match draw.below(2) {
            0 => *relu = !*relu,
            _ => *channels = draw.size(),
        },
        TrainOp::NormStats { channels, .. }
        | TrainOp::NormFrozen { channels, .. }
        | TrainOp::ReluGrad { channels }
        | TrainOp::AddBias { channels }
        | TrainOp::BiasGrad { channels } => *channels = draw.size(),
        TrainOp::MaxPoolGrad { windows, .. } => *windows = other_windows(*windows),
        _ => {}
    }
}
