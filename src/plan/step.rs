//! Plans: steps on tensors, independent of kernels and memory.

use std::fmt;
use std::ops::Range;

use crate::error::ShapeError;
use crate::kernel::{pack_weights, unpack_weights};
use crate::op::{Op, TrainOp, WeightLayout};
use crate::tensor::{ChannelLayout, DType, HostTensor, Shape};

/// Index of a tensor in [`Plan::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// A tensor that a plan reads or writes.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its origin, e.g. `block0.conv2`.
    pub name: String,
    /// Its shape, without padding.
    pub shape: Shape,
    /// The layout of its channels on the device.
    pub layout: ChannelLayout,
    /// The layout of a convolution's weights or of their gradient on the device, which are OIHW on
    /// the host; `layout` is then ignored. `None` for a tensor of pixels.
    pub weights: Option<WeightLayout>,
    /// The type of its values on the device.
    pub dtype: DType,
}

impl TensorInfo {
    /// A tensor of pixels.
    #[must_use]
    pub fn pixels(name: impl Into<String>, shape: Shape, layout: ChannelLayout) -> Self {
        Self { name: name.into(), shape, layout, weights: None, dtype: DType::F32 }
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
            dtype: DType::F32,
        }
    }

    /// Bytes on the device, padding included; `usize::MAX` if their number does not fit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Some(weights) => weights.values().saturating_mul(self.dtype.bytes()),
            None => self.layout.bytes(self.shape, self.dtype),
        }
    }

    /// The values of a host tensor of this shape in the device's order.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for a different shape.
    pub fn pack(&self, tensor: &HostTensor) -> Result<Vec<f32>, ShapeError> {
        tensor.check_shape(&self.name, self.shape)?;
        match &self.weights {
            Some(weights) => Ok(pack_weights(weights, tensor.data())),
            None => tensor.to_nhwc(self.layout),
        }
    }

    /// A tensor from its bytes on the device, in the device's order and element type.
    ///
    /// # Errors
    /// As [`TensorInfo::unpack`].
    pub fn from_device(&self, bytes: &[u8]) -> Result<HostTensor, ShapeError> {
        self.unpack(&self.dtype.decode(bytes))
    }

    /// The inverse of [`TensorInfo::pack`].
    ///
    /// # Errors
    /// [`ShapeError::Length`] for a different number of values.
    pub fn unpack(&self, packed: &[f32]) -> Result<HostTensor, ShapeError> {
        match &self.weights {
            Some(weights) => HostTensor::new(self.shape, unpack_weights(weights, packed)?),
            None => HostTensor::from_nhwc(self.shape, self.layout, packed),
        }
    }
}

/// The part of a block, stem or head that a step is; used to find its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// First 1x1 convolution (folded with bn1 if the op has a bias).
    Conv1,
    /// First norm.
    Bn1,
    /// 3x3 convolution (folded with bn2 if the op has a bias).
    Conv2,
    /// Second norm.
    Bn2,
    /// Last 1x1 convolution (folded with bn3 if the op has a bias; joined with the downsample if
    /// the op is a joined convolution).
    Conv3,
    /// Third norm.
    Bn3,
    /// The shortcut's convolution.
    Downsample,
    /// The shortcut's norm.
    DownsampleBn,
    /// The residual addition.
    Add,
    /// The stem's convolution (folded with its norm if the op has a bias).
    Stem,
    /// The stem's norm.
    StemBn,
    /// The stem's pool.
    MaxPool,
    /// The head's pool.
    AvgPool,
    /// The head's fully connected layer, as a 1x1 convolution of one pixel.
    Fc,
    /// A conversion of a tensor to the other precision.
    Convert,
    /// A step of a training plan, whose parameters are tensors.
    Training,
}

impl Role {
    /// The part's name, as in PyTorch's modules.
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
    /// Index of its block in the plan.
    pub block: usize,
    /// Its name, as in PyTorch's modules: `layer1.0.conv2`; `block0.conv2` in a chain of blocks.
    pub module: String,
    /// Its part in that block.
    pub role: Role,
    /// The operation.
    pub op: Op,
    /// The tensors read, in the op's order.
    pub inputs: Vec<TensorId>,
    /// The convolution's weights if they are a tensor of the plan, instead of parameters that an
    /// executor receives once.
    pub weights: Option<TensorId>,
    /// The tensor written. No other step writes it, and it is never one of the inputs.
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
    /// Norms folded, ReLU and the shortcut in the convolutions' epilogues: three steps per block.
    #[default]
    Fused,
    /// Every operation is a separate step. Used as the base for training mode and for cross-checks.
    Unfused,
}

/// What to compute: steps in order, their tensors, and the range of each block.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Fused or unfused.
    pub kind: PlanKind,
    /// Every tensor.
    pub tensors: Vec<TensorInfo>,
    /// Every step, in an order in which each reads only tensors written before (or the plan's
    /// input).
    pub steps: Vec<Step>,
    /// The steps of each block; a network's stem and head are separate blocks.
    pub blocks: Vec<Range<usize>>,
    /// The tensor that the caller provides. No step writes it.
    pub input: TensorId,
    /// The tensor that the caller receives.
    pub output: TensorId,
    /// Tensors that the caller provides in addition to the input, before the first or any later
    /// run. No step writes them.
    pub variables: Vec<TensorId>,
    /// Intermediate tensors that stay unchanged until the next run, for the caller to read.
    pub fetches: Vec<TensorId>,
    /// How variables are replaced between runs.
    pub updates: Vec<Update>,
}

/// A tensor that a step writes and that replaces a variable for the next run: it is copied over the
/// variable when the step's segment is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// The written tensor.
    pub from: TensorId,
    /// The variable, which no later segment reads.
    pub to: TensorId,
}

impl Step {
    /// All tensors that it reads: inputs, then weights.
    pub fn reads(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.inputs.iter().chain(&self.weights).copied()
    }
}

impl Plan {
    /// A plan without steps, whose output is its input.
    #[must_use]
    pub fn new(kind: PlanKind, input: TensorInfo) -> Self {
        let (steps, blocks, variables, fetches, updates) = Default::default();
        let id = TensorId(0);
        Self {
            kind,
            tensors: vec![input],
            steps,
            blocks,
            input: id,
            output: id,
            variables,
            fetches,
            updates,
        }
    }

    /// The tensor with this id.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.0]
    }

    /// Adds the output of every block to `fetches`, under the name of the block: `layer1.0`. The
    /// outputs of stem and head, which have no such name, are not added.
    pub fn keep_blocks(&mut self) {
        for block in self.blocks.clone() {
            let Some(step) = self.steps[block].last() else { continue };
            let (output, Some((name, _))) = (step.output, step.module.rsplit_once('.')) else {
                continue;
            };
            if !self.fetches.contains(&output) && output != self.output {
                self.tensors[output.0].name = name.to_owned();
                self.fetches.push(output);
            }
        }
        // In the order in which they are written.
        self.fetches.sort();
    }

    /// The block that writes a tensor; `None` if no step writes it.
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
            Op::Train(TrainOp::WeightGrad { conv }) => {
                conv.macs(self.tensor(step.inputs[1]).shape).saturating_mul(2)
            }
            op => op.flops(self.tensor(step.output).shape),
        }
    }

    /// The least memory traffic of one step, as [`Op::min_bytes`] counts it.
    #[must_use]
    pub fn step_min_bytes(&self, step: &Step) -> u64 {
        let [read, written] = [step.inputs[0], step.output].map(|id| self.tensor(id).dtype);
        if read != written {
            return ((read.bytes() + written.bytes()) * self.tensor(step.output).shape.len())
                as u64;
        }
        step.op.min_bytes(&self.input_shapes(step), self.tensor(step.output).shape, read)
    }

    /// Floating-point operations of the convolutions alone, equal for both kinds of plan: the basis
    /// for GFLOP/s.
    #[must_use]
    pub fn conv_flops(&self) -> u64 {
        let conv = |step: &&Step| matches!(step.op, Op::Conv { .. } | Op::JoinedConv { .. });
        self.steps.iter().filter(conv).map(|step| self.step_flops(step)).sum()
    }

    /// Terms in the longest sum of the plan.
    #[must_use]
    pub fn longest_reduction(&self) -> usize {
        let length = |step: &Step| match step.op {
            Op::GlobalAvgPool { .. } => step
                .inputs
                .first()
                .map_or(1, |&id| self.tensor(id).shape.h * self.tensor(id).shape.w),
            op => op.reduction_length(),
        };
        self.steps.iter().map(length).max().unwrap_or(1)
    }
}
