//! The host side of the Winograd transforms: `Params` and grid.

use super::host::host_struct;
use super::planes::plane;
use super::winograd::weights_of_a_tap;
use super::{Access, Capabilities, Family, Kernel, Problem, elementwise};
use crate::error::GpuError;

host_struct! {
    /// Mirrors `Params` of `shaders/shared/winograd.wgsl`.
    WinogradParams {
        words, words_per_pixel, row_groups, plane, height, width, dilation, phase_lines,
        phase_columns, tile_lines, tile_columns,
    }
}

/// `Params` and workgroups of the weight transform: one word of weights per invocation. The
/// number of channels does not matter: the weights of a tap have the same order as the weights of
/// a position.
pub(super) fn weights_dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let words = weights_of_a_tap(problem) * if kernel.access == Access::Texture { 2 } else { 1 };
    let workgroups = elementwise::workgroups(kernel, words, capabilities)?;
    let (words, row_groups) = (words as u32, workgroups[0]);
    let params = WinogradParams { words, row_groups, plane: words, ..bytemuck::Zeroable::zeroed() };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}

/// `Params` and workgroups of a transform: one tile and one word of the transformed channels per
/// invocation.
pub(super) fn dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (output, out_layout) = problem.output;
    let layout =
        if kernel.family == Family::WinogradInput { problem.inputs[0].1 } else { out_layout };
    // Words of 64 bits, or `vec4`s.
    let words = if kernel.access == Access::Texture { 2 } else { 1 };
    let words_per_pixel = layout.vec4_per_pixel() * words;
    let Some(winograd) = kernel.winograd else {
        unreachable!("transforms are made with their tiles")
    };
    let grid = winograd.grid(problem);
    let all = grid.tiles() * words_per_pixel;
    let workgroups = elementwise::workgroups(kernel, all, capabilities)?;
    let params = WinogradParams {
        words: all as u32,
        words_per_pixel: words_per_pixel as u32,
        row_groups: workgroups[0],
        plane: (plane(grid.tiles(), layout) * words) as u32,
        height: output.h as u32,
        width: output.w as u32,
        dilation: grid.dilation as u32,
        phase_lines: grid.phases[0] as u32,
        phase_columns: grid.phases[1] as u32,
        tile_lines: grid.tiles[0] as u32,
        tile_columns: grid.tiles[1] as u32,
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}
