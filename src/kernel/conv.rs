//! The host side of the convolution kernels: `Params` and grid.

use super::host::host_struct;
use super::limits::check_grid;
use super::planes::plane;
use super::{Capabilities, Kernel, Problem};
use crate::error::GpuError;
use crate::op::Op;

host_struct! {
    /// Mirrors `Params` of `shaders/shared/conv_params.wgsl`.
    ConvParams {
        items, rows, row_groups, in_height, in_width, in_vec4, out_height, out_width, out_vec4,
        stride, dilation, group_in_vec4, group_out_vec4, group_out_channels, shortcut_vec4, k_quads,
        batch_tiles, src_plane, dst_plane,
    }
}

/// `Params` and workgroups of a convolution. All numbers fit in 32 bits: they count parts of
/// tensors and weights that fit in a binding, and [`Conv::output_shape`](crate::op::Conv) limits
/// strides and dilations.
pub(super) fn dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (output, out_layout) = problem.output;
    let (_, src_layout) = problem.inputs[0];
    // The strided image: the second input of a joined kernel, the first of every other.
    let (stride, dilation, groups, taps, (item, shortcut_layout)) = match problem.op {
        Op::Conv { conv, .. } => {
            (conv.stride, conv.dilation, conv.groups, conv.taps(), problem.inputs[0])
        }
        Op::JoinedConv { shortcut, .. } => (shortcut.stride, 1, 1, 1, problem.inputs[1]),
        Op::BatchNorm { .. }
        | Op::Add { .. }
        | Op::MaxPool { .. }
        | Op::GlobalAvgPool { .. }
        | Op::Convert { .. }
        | Op::Train(_) => {
            unreachable!("elementwise operations and pools have their own dispatch")
        }
    };
    let shortcut_vec4 = if matches!(problem.op, Op::JoinedConv { .. }) {
        shortcut_layout.vec4_per_pixel()
    } else {
        0
    };
    let columns = out_layout.vec4_per_pixel() as u64;
    // Winograd's products are a batch, one for each position of a tile, and slices of K are one
    // each; whatever else is one separate product.
    let (gemms, rows) = kernel.gemm_batch(problem);
    let taps = if kernel.winograd.is_some() { 1 } else { taps };
    let batch_tiles = kernel.row_tiles(problem);
    let row_tiles = batch_tiles * gemms as u64;
    let row_groups = row_tiles.min(u64::from(capabilities.max_workgroups)).max(1);
    let workgroups = [
        columns.div_ceil(u64::from(kernel.tile_columns())),
        row_groups,
        row_tiles.div_ceil(row_groups),
    ];
    let k = src_layout.vec4_per_pixel() / groups * taps + shortcut_vec4;
    // A dense convolution may write a tensor whose groups are padded apart; a grouped one has those
    // groups itself.
    let (group_out_vec4, group_out_channels) = match groups {
        1 => (out_layout.vec4_per_group(), out_layout.per_group),
        _ => (out_layout.vec4_per_pixel() / groups, output.c / groups),
    };
    let params = ConvParams {
        items: if kernel.winograd.is_some() { gemms } else { output.n } as u32,
        rows: rows as u32,
        row_groups: row_groups as u32,
        in_height: item.h as u32,
        in_width: item.w as u32,
        in_vec4: src_layout.vec4_per_pixel() as u32,
        out_height: output.h as u32,
        out_width: output.w as u32,
        out_vec4: columns as u32,
        stride: stride as u32,
        dilation: dilation as u32,
        group_in_vec4: (src_layout.vec4_per_pixel() / groups) as u32,
        group_out_vec4: group_out_vec4 as u32,
        group_out_channels: group_out_channels as u32,
        shortcut_vec4: shortcut_vec4 as u32,
        k_quads: k as u32,
        batch_tiles: batch_tiles as u32,
        src_plane: plane(rows, src_layout) as u32,
        dst_plane: plane(rows, out_layout) as u32,
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), check_grid(kernel, workgroups, capabilities)?))
}
