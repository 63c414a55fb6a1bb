//! Checks whether a recording is consistent. All of its fields are public, so it may have been made
//! or changed by hand. Kernels run without bounds checks, so an executor must not trust it.

use super::{Dispatch, Location, RecordedStep, Recording, Step, TensorId, TensorInfo, Update};
use crate::error::{Error, GpuError};
use crate::kernel::{self, Binding, Capabilities};
use crate::op::{Conv, Epilogue, LOSSES, Op, TrainOp, UpdateOp, WeightLayout};
use crate::tensor::ChannelLayout;

impl Recording {
    /// Checks everything that a run relies on, because kernels run without bounds checks:
    ///
    /// - the plan: shapes, layouts and weights whose sizes do not overflow, strides and dilations
    ///   of at most [`Conv::MAX_STEP`], identifiers, and the order in which tensors are written and
    ///   read;
    /// - the memory: every tensor, slot and packed weight fits in a binding (at most 2 GiB), every
    ///   tensor fits in its slot, and none is overwritten while it is needed;
    /// - the steps: they equal the plan's steps, and each dispatch equals the one that the kernel
    ///   itself computes.
    ///
    /// # Errors
    /// [`GpuError::Recording`] with the step and the reason; [`GpuError::TooLarge`] for a tensor, a
    /// slot or weights beyond the limit of a binding; a [`ShapeError`](crate::error::ShapeError)
    /// for shapes that do not fit the step's operation; any error of
    /// [`Kernel::dispatch`](crate::kernel::Kernel::dispatch).
    pub fn check(&self, capabilities: &Capabilities) -> Result<(), Error> {
        let limit = capabilities.max_binding_bytes.min(Capabilities::MAX_BINDING_BYTES);
        let capabilities = &Capabilities { max_binding_bytes: limit, ..*capabilities };
        self.plan.check()?;
        self.check_memory(limit)?;
        self.check_segments()?;
        if !self.plan.updates.iter().all(|update| self.update_fits(update)) {
            return Err(whole("an update that does not fit its variable").into());
        }
        for recorded in self.steps() {
            let wrong = |reason| GpuError::Recording { step: recorded.step.to_string(), reason };
            self.check_step(recorded, capabilities)?.map_err(wrong)?;
        }
        self.check_flow().map_err(|(step, reason)| GpuError::Recording { step, reason }.into())
    }

    /// Checks that every tensor and slot fits in a binding, and that every tensor in a slot fits in
    /// it.
    fn check_memory(&self, limit: u64) -> Result<(), GpuError> {
        let plan = &self.plan;
        if self.locations.len() != plan.tensors.len() {
            return Err(whole("there must be one location for every tensor"));
        }
        let sizes = plan.tensors.iter().map(|tensor| (tensor.bytes(), Some(tensor)));
        for (bytes, tensor) in sizes.chain(self.slots.iter().map(|slot| (slot.bytes, None))) {
            let bytes = bytes as u64;
            if bytes > limit {
                let what = tensor.map_or("a workspace slot".to_owned(), |tensor| {
                    format!("tensor {} {}", tensor.name, tensor.shape)
                });
                return Err(GpuError::TooLarge { what, bytes, limit });
            }
        }
        for (tensor, location) in plan.tensors.iter().zip(&self.locations) {
            let Location::Slot(slot) = *location else { continue };
            if self.slots.get(slot).is_none_or(|slot| slot.bytes < tensor.bytes()) {
                let step = format!("tensor {} {}", tensor.name, tensor.shape);
                let reason = "it is in a slot that is missing or too small";
                return Err(GpuError::Recording { step, reason });
            }
        }
        if self.locations[plan.input.0] != Location::Input
            || self.locations[plan.output.0] != Location::Output
        {
            return Err(whole("input or output is not in the caller's buffer"));
        }
        Ok(())
    }

    /// Checks that the segments are the plan's blocks with the plan's steps.
    fn check_segments(&self) -> Result<(), GpuError> {
        let plan = &self.plan;
        let alike = self.segments.len() == plan.blocks.len()
            && self.segments.iter().zip(&plan.blocks).enumerate().all(
                |(index, (segment, block))| {
                    let steps = segment.steps.iter().map(|recorded| &recorded.step);
                    segment.block == index && steps.eq(&plan.steps[block.clone()])
                },
            );
        if alike { Ok(()) } else { Err(whole("its segments differ from the plan's blocks")) }
    }

    /// Whether `from` is written and has the type and layout of the variable `to`, no other
    /// tensor shares its location, and no later segment reads `to`.
    fn update_fits(&self, Update { from, to }: &Update) -> bool {
        let plan = &self.plan;
        if !plan.variables.contains(to) {
            return false;
        }
        let (one, other, Some(block)) =
            (plan.tensor(*from), plan.tensor(*to), plan.written_in(*from))
        else {
            return false;
        };
        let alike = one.shape == other.shape
            && one.layout == other.layout
            && one.weights == other.weights
            && one.dtype == other.dtype;
        let in_slots = [from, to].map(|id| match self.locations[id.0] {
            Location::Slot(slot) => Some(slot),
            Location::Input | Location::Output => None,
        });
        let apart = matches!(in_slots, [Some(from), Some(to)] if from != to);
        let only = plan.updates.iter().filter(|update| update.to == *to).count() == 1;
        let end = plan.blocks[block].end;
        let read_later = plan.steps.iter().skip(end).any(|step| step.reads().any(|id| id == *to));
        alike && apart && only && !read_later
    }

    /// The outer error is about shapes; the inner one is the reason for any other inconsistency.
    fn check_step(
        &self,
        recorded: &RecordedStep,
        capabilities: &Capabilities,
    ) -> Result<Result<(), &'static str>, Error> {
        let step = &recorded.step;
        if !self.weights_fit(step) {
            return Ok(Err("missing or unexpected weights"));
        }
        if !self.layouts_fit(step) {
            return Ok(Err("layouts that the kernels do not read"));
        }
        if !step.reads().chain([step.output]).all(|id| self.place_fits(id)) {
            return Ok(Err("a tensor that is larger than the caller's buffer"));
        }
        let output = self.locations[step.output.0];
        if output == Location::Input || step.reads().any(|id| self.locations[id.0] == output) {
            return Ok(Err("the output shares the location of an input"));
        }
        let problem = self.plan.problem(step);
        let dtype = |id: TensorId| self.plan.tensor(id).dtype;
        let converts = match step.op {
            Op::Convert { to, .. } => dtype(step.output) == to,
            _ => true,
        };
        if step.reads().any(|id| dtype(id) != problem.dtype) || !converts {
            return Ok(Err("tensors of a precision that the kernels do not read or write"));
        }
        if !kernel::candidates(&problem, capabilities).contains(&recorded.kernel) {
            return Ok(Err("a kernel that is not a candidate"));
        }
        let (bytes, limit) =
            (recorded.kernel.packed_bytes(&problem) as u64, capabilities.max_binding_bytes);
        if bytes > limit {
            let what = format!("weights of {step}");
            return Err(GpuError::TooLarge { what, bytes, limit }.into());
        }
        if Dispatch::all(&recorded.kernel, &problem, capabilities)? != recorded.dispatches {
            return Ok(Err("dispatches that differ from the kernel's"));
        }
        // A caller's buffer need not be one that copies can read, or that can be a uniform.
        let mut bindings =
            recorded.dispatches.iter().flat_map(|dispatch| dispatch.kernel.bindings());
        let outside = bindings.any(|binding| match binding {
            Binding::CopiedInput(index) | Binding::UniformInput(index) => {
                !matches!(self.locations[step.inputs[index].0], Location::Slot(_))
            }
            _ => false,
        });
        if outside {
            return Ok(Err("a kernel that copies a tensor, or reads it as a uniform, and the \
                           tensor is not in a slot"));
        }
        let bytes: Vec<usize> = recorded.scratch.iter().map(|scratch| scratch.bytes).collect();
        if bytes != recorded.kernel.scratch_bytes(&problem) || !self.scratch_fits(recorded) {
            return Ok(Err("scratch that is missing, too small or overlaps other data"));
        }
        Ok(Ok(()))
    }

    /// Whether only operations on weights have tensors of weights, and the weights that a step
    /// computes with are in a slot.
    fn weights_fit(&self, step: &Step) -> bool {
        let is_weights = |id: TensorId| self.plan.tensor(id).weights.is_some();
        let computes_by = matches!(step.op, Op::Conv { .. } | Op::Train(TrainOp::InputGrad { .. }));
        let by = match step.weights {
            Some(id) => {
                computes_by && is_weights(id) && matches!(self.locations[id.0], Location::Slot(_))
            }
            None => true,
        };
        let tensors = || step.inputs.iter().copied().chain([step.output]);
        by && match step.op {
            // These operations are checked elsewhere.
            Op::Train(TrainOp::MirroredWeights { .. } | TrainOp::Update(_)) => true,
            Op::Train(TrainOp::WeightGrad { .. }) => step.inputs.iter().all(|&id| !is_weights(id)),
            _ => !tensors().any(is_weights),
        }
    }

    /// Whether each scratch of a step has its own slot that is large enough and not used by the
    /// step's inputs or output.
    fn scratch_fits(&self, recorded: &RecordedStep) -> bool {
        let step = &recorded.step;
        let tensors: Vec<Location> =
            step.reads().chain([step.output]).map(|id| self.locations[id.0]).collect();
        recorded.scratch.iter().enumerate().all(|(at, scratch)| {
            self.slots.get(scratch.slot).is_some_and(|slot| slot.bytes >= scratch.bytes)
                && !tensors.contains(&Location::Slot(scratch.slot))
                && recorded.scratch[..at].iter().all(|other| other.slot != scratch.slot)
        })
    }

    /// Grouped convolutions need separately padded groups; element-wise operations need equal
    /// layouts.
    fn layouts_fit(&self, step: &Step) -> bool {
        let layout = |id: TensorId| self.plan.tensor(id).layout;
        let output = layout(step.output);
        let (item, second) = (layout(step.inputs[0]), step.inputs.get(1).map(|&id| layout(id)));
        let weights = |conv: Conv| {
            let expected = WeightLayout { conv, input: item, output };
            step.weights.is_none_or(|id| self.plan.tensor(id).weights == Some(expected))
        };
        match step.op {
            Op::Conv { epilogue: Epilogue { bias: true, .. }, .. } if step.weights.is_some() => {
                false
            }
            Op::Conv { conv, .. } if !weights(conv) => false,
            Op::Conv { conv, .. } => {
                item.suits_groups(conv.groups)
                    && output.suits_groups(conv.groups)
                    && second.is_none_or(|residual| residual == output)
            }
            Op::JoinedConv { .. } => true,
            Op::Train(op) => self.training_fits(step, op),
            Op::BatchNorm { .. }
            | Op::Add { .. }
            | Op::MaxPool { .. }
            | Op::GlobalAvgPool { .. }
            | Op::Convert { .. } => item == output && second.is_none_or(|second| second == output),
        }
    }

    /// Whether tensors of weights are where the operation needs them, with the layouts of the
    /// images involved, and per-channel tensors have the layout of the image.
    fn training_fits(&self, step: &Step, op: TrainOp) -> bool {
        let tensor = |id: TensorId| self.plan.tensor(id);
        let output = tensor(step.output);
        let inputs: Vec<&TensorInfo> = step.inputs.iter().map(|&id| tensor(id)).collect();
        let layouts = |conv: Conv, item: &TensorInfo, gradient: &TensorInfo| {
            let suits = |layout: ChannelLayout| layout.suits_groups(conv.groups);
            let pixels = item.weights.is_none() && gradient.weights.is_none();
            let layout = WeightLayout { conv, input: item.layout, output: gradient.layout };
            (pixels && suits(item.layout) && suits(gradient.layout)).then_some(layout)
        };
        match op {
            TrainOp::MirroredWeights { conv } => {
                conv.stride == 1
                    && inputs[0].weights.is_some_and(|weights| {
                        weights.conv == conv && output.weights == Some(weights.mirrored())
                    })
            }
            TrainOp::InputGrad { conv, .. } => {
                layouts(conv, output, inputs[0]).is_some_and(|layout| {
                    step.weights.is_some_and(|id| tensor(id).weights == Some(layout))
                })
            }
            TrainOp::WeightGrad { conv } => {
                let layout = layouts(conv, inputs[0], inputs[1]);
                layout.is_some() && output.weights == layout
            }
            TrainOp::CrossEntropy { classes, .. } | TrainOp::CrossEntropyGrad { classes, .. } => {
                let own = if matches!(op, TrainOp::CrossEntropy { .. }) { LOSSES } else { classes };
                lie([(inputs[0], classes), (inputs[1], 1), (output, own)])
            }
            TrainOp::Gate => lie([(inputs[0], LOSSES), (inputs[1], 1), (output, 1)]),
            TrainOp::Update(op) => update_fits(op, &inputs, output),
            _ => {
                inputs.iter().all(|input| input.weights.is_none() && input.layout == output.layout)
            }
        }
    }

    /// Whether a tensor fits in its location, which is checked before for slots.
    fn place_fits(&self, id: TensorId) -> bool {
        let owner = match self.locations[id.0] {
            Location::Input => self.plan.input,
            Location::Output => self.plan.output,
            Location::Slot(_) => return true,
        };
        self.plan.tensor(id).bytes() <= self.plan.tensor(owner).bytes()
    }
}

fn whole(reason: &'static str) -> GpuError {
    GpuError::Recording { step: "as a whole".to_owned(), reason }
}

/// Whether these are tensors of pixels, each with this number of channels in a dense layout.
fn lie<const N: usize>(tensors: [(&TensorInfo, usize); N]) -> bool {
    tensors.iter().all(|(tensor, channels)| {
        tensor.weights.is_none() && tensor.layout == ChannelLayout::dense(*channels)
    })
}

/// Whether all inputs except the control have the output's layout.
fn update_fits(op: UpdateOp, inputs: &[&TensorInfo], output: &TensorInfo) -> bool {
    let Some((control, tensors)) = inputs.split_last() else { return false };
    tensors.len() + 1 == op.input_count()
        && lie([(*control, 1)])
        && tensors
            .iter()
            .all(|tensor| tensor.weights == output.weights && tensor.layout == output.layout)
}
