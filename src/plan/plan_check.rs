//! Checks whether a plan is consistent. Everything that a kernel or an executor derives from it
//! (sizes, strides, positions) follows from what is checked here without overflow.

use super::{Plan, TensorId, TensorInfo};
use crate::error::{Error, GpuError};
use crate::op::WeightLayout;
use crate::tensor::{ChannelLayout, Shape};

impl Plan {
    /// Checks that all tensors are in the plan and possible, that each step writes the output shape
    /// of its operation, and the order in which tensors are written and read.
    ///
    /// # Errors
    /// [`GpuError::Recording`] with the part of the plan and the reason; a
    /// [`ShapeError`](crate::error::ShapeError) for shapes that do not fit a step's operation.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_references()?;
        for tensor in &self.tensors {
            tensor.check().map_err(|reason| GpuError::Recording {
                step: format!("tensor {} {}", tensor.name, tensor.shape),
                reason,
            })?;
        }
        for step in &self.steps {
            if step.op.output_shape(&self.input_shapes(step))? != self.tensor(step.output).shape {
                return Err(wrong(step.to_string(), "the output has another shape").into());
            }
        }
        self.check_order()?;
        Ok(())
    }

    /// Checks that every identifier belongs to a tensor, and that the blocks contain all steps in
    /// order.
    fn check_references(&self) -> Result<(), GpuError> {
        let whole = |reason| Err(wrong("as a whole".to_owned(), reason));
        let known = |id: TensorId| id.0 < self.tensors.len();
        if !known(self.input) || !known(self.output) {
            return whole("input or output is not in the plan");
        }
        let ends = self.updates.iter().flat_map(|update| [update.from, update.to]);
        if !self.variables.iter().chain(&self.fetches).copied().chain(ends).all(known) {
            return whole("a variable, a fetch or an update is not in the plan");
        }
        for step in &self.steps {
            if !step.reads().chain([step.output]).all(known) {
                return Err(wrong(step.to_string(), "a tensor that is not in the plan"));
            }
        }
        let mut next = 0;
        for block in &self.blocks {
            if block.start != next || block.end < next {
                return whole("the blocks are not consecutive ranges of steps");
            }
            next = block.end;
        }
        if next != self.steps.len() {
            return whole("the blocks do not contain every step");
        }
        Ok(())
    }

    /// Checks that each tensor is written once, or is the input or a variable and never written,
    /// and that it is read only afterwards.
    fn check_order(&self) -> Result<(), GpuError> {
        let mut there = vec![false; self.tensors.len()];
        for id in self.variables.iter().chain([&self.input]) {
            there[id.0] = true;
        }
        for step in &self.steps {
            let wrong = |reason| Err(wrong(step.to_string(), reason));
            if !step.reads().all(|id| there[id.0]) {
                return wrong("it reads a tensor before a step writes it");
            }
            if std::mem::replace(&mut there[step.output.0], true) {
                return wrong("it writes the input, a variable or the output of another step");
            }
        }
        Ok(())
    }
}

impl TensorInfo {
    /// Checks shape, layout and weights of a single tensor. Their sizes may still be too large for
    /// a device; a size that does not fit in `usize` is `usize::MAX`.
    fn check(&self) -> Result<(), &'static str> {
        let Self { shape, layout, .. } = self;
        if shape.dims().contains(&0) {
            return Err("it has no values");
        }
        if Shape::named(&self.name, &shape.dims()).is_err() {
            return Err("its size overflows");
        }
        if !is_for(*layout, shape.c) {
            return Err("its layout is for another number of channels");
        }
        self.weights.as_ref().map_or(Ok(()), |weights| check_weights(weights, *shape))
    }
}

/// Checks the layout of weights of this shape.
fn check_weights(weights: &WeightLayout, shape: Shape) -> Result<(), &'static str> {
    let WeightLayout { conv, input, output } = weights;
    if !conv.is_possible() {
        return Err(
            "its convolution needs a stride and a dilation from 1 to 16777216, and groups that \
             divide both numbers of channels",
        );
    }
    if conv.weight_shape() != shape {
        return Err("it has weights whose shape differs from their convolution's");
    }
    let fits = |layout: ChannelLayout, channels: usize| {
        is_for(layout, channels) && layout.suits_groups(conv.groups)
    };
    if !fits(*input, conv.in_channels) || !fits(*output, conv.out_channels) {
        return Err("it has weights whose layouts differ from their convolution's channels");
    }
    Ok(())
}

/// Whether a layout has this number of channels, without overflow.
fn is_for(layout: ChannelLayout, channels: usize) -> bool {
    layout.groups.checked_mul(layout.per_group) == Some(channels) && channels > 0
}

fn wrong(step: String, reason: &'static str) -> GpuError {
    GpuError::Recording { step, reason }
}
