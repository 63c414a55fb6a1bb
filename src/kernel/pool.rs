//! The host side of the pools: `Params` and grid.

use super::host::host_struct;
use super::{Capabilities, Kernel, Problem, elementwise};
use crate::error::GpuError;
use crate::op::{Op, TrainOp};

host_struct! {
    /// Mirrors `Params` of `shaders/shared/pool.wgsl`.
    PoolParams {
        vec4s, vec4_per_pixel, row_groups, in_height, in_width, out_height, out_width, padding,
        scale,
    }
}

/// `Params` and workgroups of a pool or its gradient: one `vec4` of the output per invocation.
pub(super) fn dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let layout = problem.output.1;
    let (vec4s, workgroups) = elementwise::grid(kernel, problem, capabilities)?;
    let padding = match problem.op {
        Op::MaxPool { windows, .. } | Op::Train(TrainOp::MaxPoolGrad { windows, .. }) => {
            windows.padding() as u32
        }
        _ => 0,
    };
    // A gradient's output is the pool's image.
    let ((item, _), (output, _)) = match problem.op {
        Op::Train(TrainOp::MaxPoolGrad { .. }) => (problem.inputs[0], problem.inputs[1]),
        Op::Train(_) => (problem.output, problem.inputs[0]),
        _ => (problem.inputs[0], problem.output),
    };
    let params = PoolParams {
        vec4s,
        vec4_per_pixel: layout.vec4_per_pixel() as u32,
        row_groups: workgroups[0],
        in_height: item.h as u32,
        in_width: item.w as u32,
        out_height: output.h as u32,
        out_width: output.w as u32,
        padding,
        scale: (1.0 / (item.h * item.w) as f32).to_bits(),
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}
