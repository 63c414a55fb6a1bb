//! The host side of losses and optimisers: `Params` and grids.

use super::host::host_struct;
use super::limits::check_grid;
use super::{Capabilities, Family, Kernel, Problem, elementwise};
use crate::error::GpuError;
use crate::op::{Op, Scalar, TrainOp, UpdateOp};

host_struct! {
    /// Mirrors `Params` of `shaders/shared/loss_params.wgsl`.
    LossParams { items, row_groups, classes, class_vec4, smoothing, share }
}

host_struct! {
    /// Mirrors `Params` of `shaders/shared/update.wgsl`.
    UpdateParams { vec4s, row_groups, kept, fresh, decay, eps }
}

/// The bits of an f32.
fn bits(value: f64) -> u32 {
    (value as f32).to_bits()
}

/// `Params` and workgroups of a loss: one invocation per image.
pub(super) fn loss(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (scores, layout) = problem.inputs[0];
    let (smoothing, count) = match problem.op {
        Op::Train(TrainOp::CrossEntropy { smoothing, .. }) => (smoothing.get(), scores.n),
        Op::Train(TrainOp::CrossEntropyGrad { smoothing, count, .. }) => (smoothing.get(), count),
        _ => (0.0, scores.n),
    };
    let workgroups = match kernel.family {
        Family::Gate => check_grid(kernel, [1; 3], capabilities)?,
        _ => elementwise::workgroups(kernel, scores.n, capabilities)?,
    };
    let params = LossParams {
        items: scores.n as u32,
        row_groups: workgroups[0],
        classes: scores.c as u32,
        class_vec4: layout.vec4_per_pixel() as u32,
        smoothing: bits(smoothing),
        share: bits(1.0 / count as f64),
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}

/// `Params` and workgroups of an optimiser's operation: one invocation per `vec4`.
pub(super) fn update(
    kernel: &Kernel,
    op: UpdateOp,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (shape, layout) = problem.output;
    let vec4s = match &problem.weights {
        Some(weights) => weights.values() / 4,
        None => shape.pixels() * layout.vec4_per_pixel(),
    };
    let none = Scalar::new(0.0);
    let (kept, decay, eps) = match op {
        UpdateOp::Accumulate => (none, none, none),
        UpdateOp::Velocity { momentum, decay } | UpdateOp::Descend { momentum, decay, .. } => {
            (momentum, decay, none)
        }
        UpdateOp::Moment { beta, .. } => (beta, none, none),
        UpdateOp::AdamW { eps, decay } => (none, decay, eps),
    };
    let workgroups = elementwise::workgroups(kernel, vec4s, capabilities)?;
    let params = UpdateParams {
        vec4s: vec4s as u32,
        row_groups: workgroups[0],
        kept: bits(kept.get()),
        fresh: bits(1.0 - kept.get()),
        decay: bits(decay.get()),
        eps: bits(eps.get()),
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}
