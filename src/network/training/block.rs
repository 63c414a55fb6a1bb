//! Training plans of a block of either kind.

use super::layer::Forward;
use super::planned_tensors::PlannedLayer;
use super::planner::TrainingPlanner;
use crate::error::Result;
use crate::network::{BlockSpec, Bottleneck};
use crate::op::{Op, TrainOp};
use crate::plan::{Plan, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// A block's plan in training mode, and its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockTrainingPlan {
    /// The plan: its input is the block's input, its output the gradient of that input.
    pub plan: Plan,
    /// The block's output.
    pub out: TensorId,
    /// Variable: the gradient of the output.
    pub grad_out: TensorId,
    /// The convolutions, in the order of their keys.
    pub layers: Vec<PlannedLayer>,
}

/// Plans a block in training mode.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) if the input's channels differ from the block's
/// inplanes; [`ShapeError::SingleValue`](crate::error::ShapeError::SingleValue) if a norm has one
/// value per channel, which has no variance.
pub fn plan_block_training(block: &Bottleneck, input: Shape) -> Result<BlockTrainingPlan> {
    let mut planner = TrainingPlanner::new(block.norm(), input);
    let x = planner.plan.input;
    planner.begin("");
    let forward = planner.block_forward(&BlockSpec::Bottleneck(*block), x)?;
    let out = forward.out;
    planner.plan.fetches.push(out);

    planner.begin("");
    let info = TensorInfo::pixels("grad_out", planner.shape(out), planner.layout(out));
    let grad_out = planner.variable(info);
    if let Some(grad_input) = planner.block_backward(&forward, grad_out, true)? {
        "grad.input".clone_into(&mut planner.plan.tensors[grad_input.0].name);
        planner.plan.output = grad_input;
    }
    let TrainingPlanner { plan, layers, .. } = planner;
    Ok(BlockTrainingPlan { plan, out, grad_out, layers })
}

/// The forward pass of a block.
pub(super) struct BlockForward {
    /// The main branch, in order.
    main: Vec<Forward>,
    shortcut: Option<Forward>,
    input: TensorId,
    pub(super) out: TensorId,
}

impl TrainingPlanner {
    /// The block's convolutions and norms, and the sum with the shortcut.
    pub fn block_forward(&mut self, block: &BlockSpec, x: TensorId) -> Result<BlockForward> {
        let (outer, layers) = (ChannelLayout::dense(block.outplanes()), block.layers());
        let inner = match block {
            BlockSpec::Bottleneck(block) => ChannelLayout::grouped(block.width(), block.groups()),
            BlockSpec::Basic(_) => outer,
        };
        let (downsample, main): (Vec<_>, Vec<_>) =
            layers.into_iter().partition(|layer| layer.conv_name.starts_with("downsample"));
        let (mut branch, mut current) = (Vec::with_capacity(main.len()), x);
        for (at, layer) in main.iter().enumerate() {
            let last = at + 1 == main.len();
            let layout = if last { outer } else { inner };
            let names = [layer.conv_name, layer.norm_name];
            // The output of the last norm is added to the shortcut in the same step.
            let forward = match last {
                true => self.convolve(names, layer.conv, false, current, layout)?,
                false => self.forward(names, layer.conv, true, current, layout)?,
            };
            current = forward.activation;
            branch.push(forward);
        }
        let shortcut = match downsample.first() {
            Some(layer) => Some(self.forward(
                [layer.conv_name, layer.norm_name],
                layer.conv,
                false,
                x,
                outer,
            )?),
            None => None,
        };
        let residual = shortcut.as_ref().map_or(x, |shortcut| shortcut.activation);
        let out = match branch.last().and_then(|layer| Some([layer.sums, layer.coefficients?])) {
            Some(norm) => self.apply("out", norm, Some(residual), true)?,
            None => self.step(
                "out",
                Op::Add { channels: outer.channels(), relu: true },
                &[current, residual],
                outer,
            )?,
        };
        Ok(BlockForward { main: branch, shortcut, input: x, out })
    }

    /// Recomputes the block's convolutions and norms from its input, for gradients that need
    /// activations that were not stored.
    pub fn block_again(&mut self, before: &BlockForward) -> Result<BlockForward> {
        let (mut branch, mut current) = (Vec::with_capacity(before.main.len()), before.input);
        for (at, layer) in before.main.iter().enumerate() {
            // The last one's is in the block's output.
            let forward = self.forward_again(layer, current, at + 1 < before.main.len())?;
            current = forward.activation;
            branch.push(forward);
        }
        let again = |shortcut: &Forward| self.forward_again(shortcut, before.input, false);
        let shortcut = before.shortcut.as_ref().map(again).transpose()?;
        Ok(BlockForward { main: branch, shortcut, ..*before })
    }

    /// The gradients of a block's parameters, and, if `wanted`, of its input.
    pub fn block_backward(
        &mut self,
        forward: &BlockForward,
        grad_out: TensorId,
        wanted: bool,
    ) -> Result<Option<TensorId>> {
        let BlockForward { main, shortcut, out, .. } = forward;
        let (channels, layout) = (self.shape(*out).c, self.layout(*out));
        let joined = self.step(
            "grad.add",
            Op::Train(TrainOp::ReluGrad { channels }),
            &[grad_out, *out],
            layout,
        )?;
        let Some((first, others)) = main.split_first() else { return Ok(None) };
        let mut gradient = joined;
        for layer in others.iter().rev() {
            gradient = self.backward(layer, gradient, None, true)?.unwrap_or(gradient);
        }
        let shortcut_grad = match shortcut {
            Some(shortcut) => self.backward(shortcut, joined, None, wanted)?,
            None => Some(joined),
        };
        self.backward(first, gradient, shortcut_grad, wanted)
    }
}
