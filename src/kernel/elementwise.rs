//! The host side of the elementwise kernels: `Params` and grid.

use super::host::host_struct;
use super::limits::check_grid;
use super::{Capabilities, Kernel, Problem};
use crate::error::GpuError;

host_struct! {
    /// Mirrors `Params` of `shaders/shared/elementwise.wgsl`.
    ElementwiseParams { vec4s, vec4_per_pixel, row_groups, shift_at }
}

/// `Params` and workgroups of an elementwise operation: one `vec4` per invocation, counted along x,
/// then y.
pub(super) fn dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (vec4s, workgroups) = grid(kernel, problem, capabilities)?;
    let vec4_per_pixel = problem.output.1.vec4_per_pixel() as u32;
    let params = ElementwiseParams {
        vec4s,
        vec4_per_pixel,
        row_groups: workgroups[0],
        shift_at: vec4_per_pixel,
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}

/// The `vec4`s of the output, and the workgroups that cover them: along x, then y.
pub(super) fn grid(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(u32, [u32; 3]), GpuError> {
    let (shape, layout) = problem.output;
    let vec4s = shape.pixels().saturating_mul(layout.vec4_per_pixel());
    Ok((vec4s as u32, workgroups(kernel, vec4s, capabilities)?))
}

/// The workgroups that cover this many `vec4`s: along x, then y.
pub(super) fn workgroups(
    kernel: &Kernel,
    vec4s: usize,
    capabilities: &Capabilities,
) -> Result<[u32; 3], GpuError> {
    let groups = (vec4s as u64).div_ceil(u64::from(kernel.tile.workgroup_x));
    let row_groups = groups.min(u64::from(capabilities.max_workgroups)).max(1);
    check_grid(kernel, [row_groups, groups.div_ceil(row_groups), 1], capabilities)
}
