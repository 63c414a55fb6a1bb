//! One operation on given tensors, what must come out, and the recording that runs it with one kernel.

use std::collections::HashSet;

use super::seeded::{Seeded, exact_params, small_integers, with_non_finite};
use crate::error::{Error, GpuError, Result};
use crate::kernel::{self, Capabilities, Kernel, Problem};
use crate::op::{Op, StepParams};
use crate::plan::{Dispatch, Placement, Plan, RecordedStep, Recording, Scratch, Segment, Slot};
use crate::reference;
use crate::tensor::{ChannelLayout, HostTensor, Shape};

/// An operation and the shapes that it is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Case {
    /// What the case is about.
    pub name: &'static str,
    /// The operation.
    pub op: Op,
    /// The shape of its first input.
    pub first: Shape,
    /// The shape of its second input, where it has two.
    pub second: Option<Shape>,
    /// How the output's channels lie.
    pub output_layout: ChannelLayout,
    /// At most so many workgroups per dimension, so that a small grid goes on in the next one.
    pub max_workgroups: Option<u32>,
}

/// What a case is run on, and what the reference says of it.
#[derive(Debug)]
pub(super) struct Expected {
    pub params: StepParams,
    /// Integers, then the same with NaN and infinities among them: the inputs and the output of each.
    pub runs: [(Vec<HostTensor>, HostTensor); 2],
}

/// The layouts in which kernels read an operation's inputs and write its output: groups padded apart where it has them.
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
        | Op::GlobalAvgPool { channels } => {
            let layout = ChannelLayout::dense(channels);
            (vec![layout; op.input_count()], layout)
        }
    }
}

impl Case {
    /// One operation as a plan: its inputs first, its output last.
    fn plan(&self) -> Result<Plan> {
        Ok(Plan::single(&self.problem()?))
    }

    /// What a kernel is told of the case.
    ///
    /// # Errors
    /// A [`ShapeError`](crate::error::ShapeError) for shapes that do not fit the operation.
    pub fn problem(&self) -> Result<Problem> {
        let (layouts, _) = layouts(&self.op);
        let shapes: Vec<Shape> = std::iter::once(self.first).chain(self.second).collect();
        let output = (self.op.output_shape(&shapes)?, self.output_layout);
        let mut inputs: Vec<(Shape, ChannelLayout)> = shapes.into_iter().zip(layouts).collect();
        // A residual lies as the output does.
        if let (Op::Conv { .. }, Some((_, residual))) = (self.op, inputs.get_mut(1)) {
            *residual = self.output_layout;
        }
        Ok(Problem { op: self.op, inputs, output, weights_change: false, weights: None })
    }

    /// What a kernel is told of the device.
    pub(super) fn capabilities(&self, device: &Capabilities) -> Capabilities {
        let max_workgroups = self.max_workgroups.map_or(device.max_workgroups, |max| max.min(device.max_workgroups));
        Capabilities { max_workgroups, ..*device }
    }

    /// Whether a device can run the case with this kernel.
    pub(super) fn is_for(&self, kernel: Kernel, device: &Capabilities) -> Result<bool> {
        Ok(kernel::candidates(&self.problem()?, &self.capabilities(device)).contains(&kernel))
    }

    /// The recording that runs the case with this kernel; each tensor has a place of its own.
    pub(super) fn record(&self, kernel: Kernel, device: &Capabilities) -> Result<Recording> {
        let plan = self.plan()?;
        let step = plan.steps[0].clone();
        let problem = plan.problem(&step);
        let dispatches = Dispatch::all(&kernel, &problem, &self.capabilities(device))?;
        let mut places = vec![Placement::Input, Placement::Output];
        let mut slots = Vec::new();
        if self.second.is_some() {
            places.insert(1, Placement::Slot(0));
            slots.push(Slot { bytes: plan.tensors[1].bytes() });
        }
        let scratch = |bytes| {
            slots.push(Slot { bytes });
            Scratch { slot: slots.len() - 1, bytes }
        };
        let scratch = kernel.scratch_bytes(&problem).into_iter().map(scratch).collect();
        let steps = vec![RecordedStep { step, kernel, reason: "self test", dispatches, scratch }];
        Ok(Recording { plan, places, slots, segments: vec![Segment { block: 0, steps }] })
    }

    /// Where a kernel may put NaN for a number: in the tiles of Winograd's convolution that see a value of the first input that is not
    /// finite. The position is the output's.
    pub(super) fn spreads(&self, kernel: Kernel, inputs: &[HostTensor]) -> impl Fn([usize; 4]) -> bool {
        let mut tiles = HashSet::new();
        let grid = kernel.winograd.zip(self.problem().ok()).map(|(winograd, problem)| winograd.grid(&problem));
        if let (Some(grid), Some(image)) = (grid, inputs.first()) {
            let odd = image.data().iter().enumerate().filter(|(_, value)| !value.is_finite());
            for [n, _, y, x] in odd.map(|(at, _)| image.shape().position(at)) {
                tiles.extend(grid.tiles_that_see(n, y, x));
            }
        }
        move |[n, _, y, x]| grid.is_some_and(|grid| tiles.contains(&grid.tile_of(n, y, x)))
    }

    /// Inputs, parameters and what must come out.
    ///
    /// # Errors
    /// Shapes that do not fit, or numbers for which f32 is not exact: bugs of the table of cases, which a test excludes.
    pub(super) fn expected(&self) -> Result<Expected> {
        let params = exact_params(&self.op, &mut Seeded::new(7));
        let shapes = std::iter::once(self.first).chain(self.second);
        let integers: Vec<HostTensor> = (1..).zip(shapes).map(|(seed, shape)| small_integers(shape, seed)).collect();
        let (output, bound) =
            reference::run_op_with_bound(&self.op, &params, &integers.iter().collect::<Vec<_>>(), None)?;
        if !bound.is_exact() {
            let step = format!("self test {}", self.name);
            return Err(Error::Gpu(GpuError::Recording { step, reason: "f32 is not exact for its numbers" }));
        }
        // The first pixel is in the middle of its pool, which asks for the middle apart: there the others are meant.
        let pool = matches!(self.op, Op::MaxPool { .. });
        let special: Vec<HostTensor> =
            integers.iter().enumerate().map(|(index, input)| with_non_finite(input, pool || index > 0)).collect();
        let special_output = reference::run_op(&self.op, &params, &special.iter().collect::<Vec<_>>())?;
        Ok(Expected { params, runs: [(integers, output), (special, special_output)] })
    }
}
