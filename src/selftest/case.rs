//! A test case: one operation, its input tensors, the expected result, and a recording that runs it
//! with one kernel.

use super::seeded::{Seeded, exact_params};
use super::values::{Values, special};
use crate::error::{Error, GpuError, Result};
use crate::kernel::{self, Capabilities, Kernel, Problem};
use crate::op::{Op, StepParams, WeightLayout};
use crate::plan::{
    Dispatch, Location, Plan, RecordedStep, Recording, Scratch, Segment, Slot, TensorInfo,
};
use crate::reference;
use crate::tensor::{ChannelLayout, DType, HostTensor, Shape, Tolerance};

/// An operation and the tensors that it is tested on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Case {
    /// The subject of the case.
    pub name: &'static str,
    /// The operation.
    pub op: Op,
    /// Its inputs.
    pub inputs: Vec<(Shape, Layout)>,
    /// The layout of its convolution's weights, if they are a tensor.
    pub weights: Option<WeightLayout>,
    /// The layout of its output.
    pub output: Layout,
    /// The element types of the tensors that are read and written.
    pub dtypes: [DType; 2],
    /// The values of the inputs.
    pub values: Values,
    /// Maximum number of workgroups per dimension, so that a small grid extends into the next
    /// dimension.
    pub max_workgroups: Option<u32>,
}

/// The layout of a tensor on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Pixels, or values per channel.
    Pixels(ChannelLayout),
    /// A convolution's weights.
    Weights(WeightLayout),
}

impl Layout {
    fn info(self, name: &str, shape: Shape) -> TensorInfo {
        match self {
            Self::Pixels(layout) => TensorInfo::pixels(name, shape, layout),
            Self::Weights(layout) => TensorInfo::weights(name, layout),
        }
    }
}

/// The inputs of a case and the reference's results.
#[derive(Debug)]
pub(super) struct Expected {
    pub params: StepParams,
    /// Finite values, then the same with NaN and infinities among them.
    pub runs: [Run; 2],
}

/// The inputs of one run, followed by the weights if they are a tensor, and the expected output.
#[derive(Debug)]
pub(super) struct Run {
    pub reads: Vec<HostTensor>,
    pub output: HostTensor,
}

/// The layouts of the input and output images of an inference operation's kernels: with each group
/// padded, if the operation has groups.
#[must_use]
pub fn layouts(op: &Op) -> (Vec<ChannelLayout>, ChannelLayout) {
    match *op {
        Op::Conv { conv, epilogue } => {
            let output = ChannelLayout::grouped(conv.out_channels, conv.groups);
            let mut inputs = vec![ChannelLayout::grouped(conv.in_channels, conv.groups)];
            inputs.extend(epilogue.residual.then_some(output));
            (inputs, output)
        }
        Op::JoinedConv { main, shortcut, .. } => {
            let inputs = [main, shortcut].map(|conv| ChannelLayout::dense(conv.in_channels));
            (inputs.to_vec(), ChannelLayout::dense(main.out_channels))
        }
        Op::Train(_) => (Vec::new(), ChannelLayout::dense(1)),
        Op::BatchNorm { channels, .. }
        | Op::Add { channels, .. }
        | Op::MaxPool { channels, .. }
        | Op::GlobalAvgPool { channels }
        | Op::Convert { channels, .. } => {
            let layout = ChannelLayout::dense(channels);
            (vec![layout; op.input_count()], layout)
        }
    }
}

impl Case {
    /// An inference operation on images of these shapes.
    pub(super) fn of_items(name: &'static str, op: Op, items: Vec<Shape>) -> Self {
        let (inputs, output) = layouts(&op);
        let inputs = items.into_iter().zip(inputs.into_iter().map(Layout::Pixels)).collect();
        let (dtypes, values, output) = ([DType::F32; 2], Values::Plain, Layout::Pixels(output));
        Self { name, op, inputs, weights: None, output, dtypes, values, max_workgroups: None }
    }

    /// An operation on tensors of pixels without gaps, with this many output channels.
    pub(super) fn of_pixels(
        name: &'static str,
        op: Op,
        inputs: Vec<Shape>,
        channels: usize,
    ) -> Self {
        let dense = |channels| Layout::Pixels(ChannelLayout::dense(channels));
        let inputs = inputs.into_iter().map(|shape| (shape, dense(shape.c))).collect();
        let (dtypes, values, output) = ([DType::F32; 2], Values::Plain, dense(channels));
        Self { name, op, inputs, weights: None, output, dtypes, values, max_workgroups: None }
    }

    /// The operation as a plan: its inputs, then the weights if they are a tensor, then its output.
    fn plan(&self) -> Result<Plan> {
        const NAMES: [&str; 4] = ["first input", "second input", "third input", "fourth input"];
        let shapes: Vec<Shape> = self.inputs.iter().map(|(shape, _)| *shape).collect();
        let output = self.op.output_shape(&shapes)?;
        let inputs = NAMES
            .into_iter()
            .zip(&self.inputs)
            .map(|(name, &(shape, layout))| layout.info(name, shape));
        let weights = self.weights.map(|layout| TensorInfo::weights("weights", layout));
        let tensors = inputs.chain(weights).chain([self.output.info("output", output)]).collect();
        let mut plan = Plan::of_step(self.op, tensors, self.weights.is_some());
        plan.in_dtypes(self.dtypes);
        Ok(plan)
    }

    /// The case as the problem for a kernel.
    ///
    /// # Errors
    /// A [`ShapeError`](crate::error::ShapeError) if shapes do not fit the operation.
    pub fn problem(&self) -> Result<Problem> {
        let plan = self.plan()?;
        Ok(plan.problem(&plan.steps[0]))
    }

    /// The capabilities of the device, with the workgroup limit of the case.
    pub(super) fn capabilities(&self, device: &Capabilities) -> Capabilities {
        let max_workgroups =
            self.max_workgroups.map_or(device.max_workgroups, |max| max.min(device.max_workgroups));
        Capabilities { max_workgroups, ..*device }
    }

    /// Whether a device can run the case with this kernel.
    pub(super) fn is_for(&self, kernel: Kernel, device: &Capabilities) -> Result<bool> {
        Ok(kernel::candidates(&self.problem()?, &self.capabilities(device)).contains(&kernel))
    }

    /// The recording that runs the case with this kernel, with a separate slot for each tensor.
    pub(super) fn record(&self, kernel: Kernel, device: &Capabilities) -> Result<Recording> {
        let plan = self.plan()?;
        let step = plan.steps[0].clone();
        let problem = plan.problem(&step);
        let dispatches = Dispatch::all(&kernel, &problem, &self.capabilities(device))?;
        let mut slots: Vec<Slot> =
            plan.variables.iter().map(|id| Slot { bytes: plan.tensor(*id).bytes() }).collect();
        let variables = (0..slots.len()).map(Location::Slot);
        let locations =
            std::iter::once(Location::Input).chain(variables).chain([Location::Output]).collect();
        let scratch = |bytes| {
            slots.push(Slot { bytes });
            Scratch { slot: slots.len() - 1, bytes }
        };
        let scratch = kernel.scratch_bytes(&problem).into_iter().map(scratch).collect();
        let steps = vec![RecordedStep { step, kernel, reason: "self test", dispatches, scratch }];
        Ok(Recording { plan, locations, slots, segments: vec![Segment { block: 0, steps }] })
    }

    /// Inputs, parameters and expected output.
    ///
    /// # Errors
    /// Shapes that do not fit, or values for which f32 must be exact but is not: bugs in the table
    /// of cases, which a test excludes.
    pub(super) fn expected(&self) -> Result<Expected> {
        let params = match self.weights {
            Some(_) => StepParams::None,
            None => exact_params(&self.op, &mut Seeded::new(7)),
        };
        let shapes = self.inputs.iter().map(|(shape, _)| *shape);
        let weights = self.weights.map(|layout| layout.conv.weight_shape());
        let reads = shapes
            .chain(weights)
            .enumerate()
            .map(|(index, shape)| self.values.of(&self.op, index, shape));
        let reads: Vec<HostTensor> = reads.collect();
        let count = self.inputs.len();
        let inputs: Vec<&HostTensor> = reads[..count].iter().collect();
        let (output, bound) =
            reference::run_op_with_bound(&self.op, &params, &inputs, reads.get(count))?;
        if self.tolerances() == [Tolerance::EXACT] && !bound.is_exact() {
            let step = format!("self test {}", self.name);
            return Err(Error::Gpu(GpuError::Recording {
                step,
                reason: "f32 is not exact for its numbers",
            }));
        }
        let odd: Vec<HostTensor> = reads
            .iter()
            .enumerate()
            .map(|(index, tensor)| special(&self.op, index, tensor))
            .collect();
        let inputs: Vec<&HostTensor> = odd[..count].iter().collect();
        let odd_output = reference::run_op_by(&self.op, &params, &inputs, odd.get(count))?;
        Ok(Expected {
            params,
            runs: [Run { reads, output }, Run { reads: odd, output: odd_output }],
        })
    }
}
