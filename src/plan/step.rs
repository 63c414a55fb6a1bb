//! Plans: steps on tensors, without a word about kernels or memory.

use std::fmt;
use std::ops::Range;

use crate::error::ShapeError;
use crate::kernel::{pack_weights, unpack_weights};
use crate::op::{Op, TrainOp, WeightLayout};
use crate::tensor::{ChannelLayout, Element, HostTensor, Shape};

/// Index of a tensor in [`Plan::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// A tensor that a plan reads or writes.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Where it comes from, e.g. `block0.conv2`.
    pub name: String,
    /// Its shape, without padding.
    pub shape: Shape,
    /// How its channels lie on the device.
    pub layout: ChannelLayout,
    /// How it lies on the device where it is a convolution's weights or their gradient, OIHW on the host; the layout is then of no
    /// account.
    pub weights: Option<WeightLayout>,
    /// The type of its values on the device.
    pub element: Element,
}

impl TensorInfo {
    /// A tensor of pixels.
    #[must_use]
    pub fn pixels(name: impl Into<String>, shape: Shape, layout: ChannelLayout) -> Self {
        Self { name: name.into(), shape, layout, weights: None, element: Element::F32 }
    }

    /// A convolution's weights, or their gradient.
    #[must_use]
    pub fn weights(name: impl Into<String>, weights: WeightLayout) -> Self {
        let shape = weights.conv.weight_shape();
        Self {
            name: name.into(),
            shape,
            layout: ChannelLayout::dense(shape.c),
            weights: Some(weights),
            element: Element::F32,
        }
    }

    /// Bytes on the device, padding included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Some(weights) => weights.values() * self.element.bytes(),
            None => self.layout.bytes(self.shape, self.element),
        }
    }

    /// The values of a tensor of this shape in the device's order.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for another shape.
    pub fn pack(&self, tensor: &HostTensor) -> Result<Vec<f32>, ShapeError> {
        tensor.check_shape(&self.name, self.shape)?;
        match &self.weights {
            Some(weights) => Ok(pack_weights(weights, tensor.data())),
            None => tensor.to_nhwc(self.layout),
        }
    }

    /// A tensor from its bytes on the device: packed, and of the element type.
    ///
    /// # Errors
    /// As [`TensorInfo::unpack`].
    pub fn from_device(&self, bytes: &[u8]) -> Result<HostTensor, ShapeError> {
        self.unpack(&self.element.decode(bytes))
    }

    /// The inverse of [`TensorInfo::pack`].
    ///
    /// # Errors
    /// [`ShapeError::Length`] for another number of values.
    pub fn unpack(&self, packed: &[f32]) -> Result<HostTensor, ShapeError> {
        match &self.weights {
            Some(weights) => HostTensor::new(self.shape, unpack_weights(weights, packed)?),
            None => HostTensor::from_nhwc(self.shape, self.layout, packed),
        }
    }
}

/// Which part of a block, of the stem or of the head a step is: how its parameters are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// First 1x1 convolution (folded with bn1 where the op has a bias).
    Conv1,
    /// First norm.
    Bn1,
    /// 3x3 convolution (folded with bn2 where the op has a bias).
    Conv2,
    /// Second norm.
    Bn2,
    /// Last 1x1 convolution (folded with bn3 where the op has a bias; joined with the downsample where the op says so).
    Conv3,
    /// Third norm.
    Bn3,
    /// The shortcut's convolution.
    Downsample,
    /// The shortcut's norm.
    DownsampleBn,
    /// The residual addition.
    Add,
    /// The stem's convolution (folded with its norm where the op has a bias).
    Stem,
    /// The stem's norm.
    StemBn,
    /// The stem's pool.
    MaxPool,
    /// The head's pool.
    AvgPool,
    /// The head's fully connected layer, as a 1x1 convolution of one pixel.
    Fc,
    /// A tensor from one precision to the other.
    Convert,
    /// A step of a training plan, whose parameters are tensors.
    Training,
}

impl Role {
    /// The part's name as PyTorch's modules are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Conv1 | Role::Stem => "conv1",
            Role::Bn1 | Role::StemBn => "bn1",
            Role::Conv2 => "conv2",
            Role::Bn2 => "bn2",
            Role::Conv3 => "conv3",
            Role::Bn3 => "bn3",
            Role::Downsample => "downsample.0",
            Role::DownsampleBn => "downsample.1",
            Role::Add => "add",
            Role::MaxPool => "maxpool",
            Role::AvgPool => "avgpool",
            Role::Fc => "fc",
            Role::Convert => "convert",
            Role::Training => "training",
        }
    }
}

/// One operation on tensors of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index of the block it belongs to, among the plan's.
    pub block: usize,
    /// Its name as PyTorch's modules are called: `layer1.0.conv2`; `block0.conv2` in a chain of blocks.
    pub module: String,
    /// Its part in that block.
    pub role: Role,
    /// What is computed.
    pub op: Op,
    /// What is read, in the op's order.
    pub inputs: Vec<TensorId>,
    /// The convolution's weights, where they are a tensor of the plan and not parameters that an executor is given once.
    pub weights: Option<TensorId>,
    /// What is written: each tensor by exactly one step, and never one of the inputs.
    pub output: TensorId,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.module)
    }
}

/// The two ways to run a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PlanKind {
    /// Norms folded, ReLU and the shortcut in the convolutions' epilogues: three steps a block.
    #[default]
    Fused,
    /// Every operation its own step: the base for training mode, and a second opinion.
    Unfused,
}

/// What to compute: steps in order, the tensors they work on, and where each block begins and ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Fused or unfused.
    pub kind: PlanKind,
    /// Every tensor.
    pub tensors: Vec<TensorInfo>,
    /// Every step, in an order in which each reads only what was written before (or the plan's input).
    pub steps: Vec<Step>,
    /// The steps of each block; stem and head of a network are blocks of their own.
    pub blocks: Vec<Range<usize>>,
    /// The tensor that the caller gives. No step writes it.
    pub input: TensorId,
    /// The tensor that the caller gets.
    pub output: TensorId,
    /// Tensors beside the input that the caller gives, before the first run or any later one. No step writes them.
    pub given: Vec<TensorId>,
    /// Tensors on the way that stay as they are until the next run, for the caller to read.
    pub kept: Vec<TensorId>,
    /// What becomes of given tensors from one run to the next.
    pub carried: Vec<Carry>,
}

/// A tensor that a step writes, and that takes the place of a given one for the next run: when the segment is done that the step belongs
/// to, it is copied over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carry {
    /// What is written.
    pub from: TensorId,
    /// The given tensor, which no later segment reads.
    pub to: TensorId,
}

impl Step {
    /// All that it reads: inputs, then weights.
    pub fn reads(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.inputs.iter().chain(&self.weights).copied()
    }
}

impl Plan {
    /// A plan without steps, whose output is its input.
    #[must_use]
    pub fn new(kind: PlanKind, input: TensorInfo) -> Self {
        let (steps, blocks, given, kept, carried) = Default::default();
        let id = TensorId(0);
        Self { kind, tensors: vec![input], steps, blocks, input: id, output: id, given, kept, carried }
    }

    /// The tensor behind an id of this plan.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.0]
    }

    /// Keeps what every block puts out, called as the block is: `layer1.0`. What has no such name, stem and head, is left as it is.
    pub fn keep_blocks(&mut self) {
        for block in self.blocks.clone() {
            let Some(step) = self.steps[block].last() else { continue };
            let (output, Some((name, _))) = (step.output, step.module.rsplit_once('.')) else { continue };
            if !self.kept.contains(&output) && output != self.output {
                self.tensors[output.0].name = name.to_owned();
                self.kept.push(output);
            }
        }
        // In the order in which they are written.
        self.kept.sort();
    }

    /// The block whose step writes a tensor; `None` for one that no step writes.
    #[must_use]
    pub fn written_in(&self, id: TensorId) -> Option<usize> {
        let step = self.steps.iter().position(|step| step.output == id)?;
        self.blocks.iter().position(|block| block.contains(&step))
    }

    /// The shapes that a step of this plan reads.
    #[must_use]
    pub fn input_shapes(&self, step: &Step) -> Vec<Shape> {
        step.inputs.iter().map(|&id| self.tensor(id).shape).collect()
    }

    /// Floating-point operations of one step, as [`Op::flops`] counts them.
    #[must_use]
    pub fn step_flops(&self, step: &Step) -> u64 {
        match step.op {
            Op::Train(TrainOp::WeightGrad { conv }) => 2 * conv.macs(self.tensor(step.inputs[1]).shape),
            op => op.flops(self.tensor(step.output).shape),
        }
    }

    /// The least memory traffic of one step, as [`Op::min_bytes`] counts it.
    #[must_use]
    pub fn step_min_bytes(&self, step: &Step) -> u64 {
        let [read, written] = [step.inputs[0], step.output].map(|id| self.tensor(id).element);
        if read != written {
            return ((read.bytes() + written.bytes()) * self.tensor(step.output).shape.len()) as u64;
        }
        step.op.min_bytes(&self.input_shapes(step), self.tensor(step.output).shape, read)
    }

    /// Floating-point operations of the convolutions alone, the same for both kinds of plan: what GFLOP/s are counted in.
    #[must_use]
    pub fn conv_flops(&self) -> u64 {
        let conv = |step: &&Step| matches!(step.op, Op::Conv { .. } | Op::JoinedConv { .. });
        self.steps.iter().filter(conv).map(|step| self.step_flops(step)).sum()
    }

    /// Terms in the longest sum of the plan.
    #[must_use]
    pub fn longest_reduction(&self) -> usize {
        let length = |step: &Step| match step.op {
            Op::GlobalAvgPool { .. } => {
                step.inputs.first().map_or(1, |&id| self.tensor(id).shape.h * self.tensor(id).shape.w)
            }
            op => op.reduction_length(),
        };
        self.steps.iter().map(length).max().unwrap_or(1)
    }
}
