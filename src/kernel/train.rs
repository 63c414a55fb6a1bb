//! The host side of the kernels of training: `Params`, grids, and the scratch between two
//! dispatches.

use super::host::host_struct;
use super::limits::check_grid;
use super::{Capabilities, Family, Kernel, Problem, elementwise};
use crate::error::GpuError;
use crate::op::{Conv, Op, TrainOp, WeightLayout};
use crate::tensor::{ChannelLayout, DType, Shape};

host_struct! {
    /// Mirrors `Params` of `shaders/shared/norm_params.wgsl`.
    NormParams {
        vec4s, vec4_per_pixel, row_groups, pixels, chunk, slices, group_vec4, group_channels, eps,
        share, unbiased,
    }
}

host_struct! {
    /// Mirrors `Params` of `shaders/shared/conv_grad_params.wgsl`.
    ConvGradParams {
        vec4s, row_groups, in_height, in_width, in_vec4, out_height, out_width, out_vec4, stride,
        dilation, padding, side, group_in_vec4, group_out_vec4, pixels, chunk, slices, tap_tiles,
        in_run_vec4, in_run_channels, out_run_vec4, out_run_channels, fold,
    }
}

/// Pixels in a slice of a norm's sums: enough to be worth a workgroup, few enough for many slices;
/// sums of a thousand values lose few digits.
const NORM_CHUNK: usize = 512;

/// The maximum number of slices of a norm's sums: one invocation adds them.
const MOST_NORM_SLICES: usize = 4096;

/// The minimum number of pixels in a slice of the gradient of weights.
const LEAST_WEIGHT_CHUNK: usize = 512;

/// The maximum number, which is half of llvmpipe's limit of loop iterations.
const MOST_WEIGHT_CHUNK: usize = 32_768;

/// The maximum size in bytes of the slices of the gradient of weights, within the limits above.
const WEIGHT_SLICES_BYTES: usize = 32 << 20;

/// The image of a norm's operation, and its layout.
fn item(problem: &Problem) -> (Shape, ChannelLayout) {
    problem.inputs[0]
}

/// The pixels in a slice of a norm's image, and the number of slices.
fn norm_slices(item: Shape) -> (usize, usize) {
    let pixels = item.pixels();
    let chunk = NORM_CHUNK.max(pixels.div_ceil(MOST_NORM_SLICES));
    (chunk, pixels.div_ceil(chunk))
}

/// The pixels in a slice of the gradient of weights, and the number of slices.
fn weight_slices(layout: &WeightLayout, gradient: Shape) -> (usize, usize) {
    let (pixels, bytes) = (gradient.pixels(), layout.values().saturating_mul(DType::F32.bytes()));
    let most = (WEIGHT_SLICES_BYTES / bytes.max(1)).max(1);
    let chunk = pixels.div_ceil(most).clamp(LEAST_WEIGHT_CHUNK, MOST_WEIGHT_CHUNK);
    (chunk, pixels.div_ceil(chunk))
}

/// Width and height of the texture that holds the gradient of the output, and the base-2 logarithm
/// of the number of pixels in a texture row. This number is the smallest for which a row is a
/// multiple of the 256 bytes that copies require, all rows are full, and there are no more rows
/// than a texture allows.
pub(super) fn gradient_texture(problem: &Problem, most_lines: u32) -> Option<([u32; 2], u32)> {
    let (shape, layout) = *problem.inputs.get(1)?;
    let (pixels, columns) = (shape.pixels(), layout.vec4_per_pixel());
    let folds = (0..u32::BITS).take_while(|&fold| pixels.is_multiple_of(1 << fold));
    let mut sizes = folds.map(|fold| ([columns.saturating_mul(1 << fold), pixels >> fold], fold));
    let (size, fold) = sizes
        .find(|([width, height], _)| width.is_multiple_of(16) && *height <= most_lines as usize)?;
    let [width, height] = size.map(|side| u32::try_from(side).ok());
    Some(([width?, height?], fold))
}

/// The convolution of an operation, with its weight layout, image and output.
fn conv_of(problem: &Problem) -> Option<(WeightLayout, Shape, Shape)> {
    let layout = |conv: Conv, input, output| WeightLayout { conv, input, output };
    let none = Shape { n: 1, c: 1, h: 1, w: 1 };
    match problem.op {
        Op::Train(TrainOp::InputGrad { conv, .. }) => {
            let ((item, input), (gradient, output)) = (problem.output, problem.inputs[0]);
            Some((layout(conv, input, output), item, gradient))
        }
        Op::Train(TrainOp::WeightGrad { conv }) => {
            let [(item, input), (gradient, output)] = [problem.inputs[0], problem.inputs[1]];
            Some((layout(conv, input, output), item, gradient))
        }
        Op::Train(TrainOp::MirroredWeights { .. }) => {
            problem.weights.map(|layout| (layout, none, none))
        }
        _ => None,
    }
}

/// The sizes in bytes of the scratch between the dispatches of an operation of training.
pub(super) fn scratch_bytes(problem: &Problem) -> Vec<usize> {
    let sums = |rows: usize| {
        let (item, layout) = item(problem);
        let values = (norm_slices(item).1 * rows).saturating_mul(layout.vec4_per_pixel());
        vec![values.saturating_mul(4 * DType::F32.bytes())]
    };
    match (problem.op, conv_of(problem)) {
        (Op::Train(TrainOp::NormStats { .. }), _) => sums(3),
        (Op::Train(TrainOp::NormGradSums { .. }), _) => sums(2),
        (Op::Train(TrainOp::WeightGrad { .. }), Some((layout, _, gradient))) => {
            let values = weight_slices(&layout, gradient).1.saturating_mul(layout.values());
            vec![values.saturating_mul(DType::F32.bytes())]
        }
        _ => Vec::new(),
    }
}

/// The approximate number of loop iterations of one invocation.
pub(super) fn iterations(problem: &Problem) -> u64 {
    let count = match (problem.op, conv_of(problem)) {
        (Op::Train(TrainOp::NormStats { .. } | TrainOp::NormGradSums { .. }), _) => {
            let (chunk, slices) = norm_slices(item(problem).0);
            2 * chunk.max(slices)
        }
        (Op::Train(TrainOp::InputGrad { conv, .. }), Some((layout, ..))) => {
            (layout.output.vec4_per_pixel() / conv.groups + 1) * conv.taps()
        }
        (Op::Train(TrainOp::WeightGrad { .. }), Some((layout, _, gradient))) => {
            weight_slices(&layout, gradient).0
        }
        // Four windows of nine pixels.
        (Op::Train(TrainOp::MaxPoolGrad { .. }), _) => 36,
        (Op::Train(TrainOp::BiasGrad { .. }), _) => item(problem).0.pixels(),
        (Op::Train(TrainOp::CrossEntropy { .. } | TrainOp::CrossEntropyGrad { .. }), _) => {
            3 * item(problem).1.vec4_per_pixel()
        }
        (Op::Train(TrainOp::Gate), _) => item(problem).0.n,
        _ => 1,
    };
    count as u64
}

/// `Params` and workgroups of a kernel of training.
pub(super) fn dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    match conv_of(problem) {
        Some(of) => conv_grad(kernel, problem, of, capabilities),
        None => norm(kernel, problem, capabilities),
    }
}

fn norm(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (item, layout) = item(problem);
    let columns = layout.vec4_per_pixel();
    let (chunk, slices) = norm_slices(item);
    let workgroups = match kernel.family {
        Family::NormPartials | Family::NormGradPartials => tiled(
            kernel,
            columns.div_ceil(kernel.tile.cols_per_thread as usize),
            slices,
            capabilities,
        )?,
        Family::NormApply | Family::NormGrad | Family::AddBias => {
            let rows = item.pixels().div_ceil(kernel.tile.rows_per_thread as usize);
            elementwise::workgroups(kernel, rows * columns, capabilities)?
        }
        _ => elementwise::workgroups(kernel, columns, capabilities)?,
    };
    let bits = |value: f64| (value as f32).to_bits();
    let (mut eps, mut share, mut count) = (0.0, 0.0, 0);
    match problem.op {
        Op::Train(
            TrainOp::NormStats { eps: added, .. } | TrainOp::NormFrozen { eps: added, .. },
        ) => eps = added.get(),
        Op::Train(TrainOp::NormGradSums { batch: true, .. }) => share = 1.0 / item.pixels() as f64,
        Op::Train(TrainOp::RunningStats { count: values, .. }) => count = values,
        _ => {}
    }
    let params = NormParams {
        vec4s: (item.pixels() * columns) as u32,
        vec4_per_pixel: columns as u32,
        row_groups: row_groups(kernel, workgroups),
        pixels: item.pixels() as u32,
        chunk: chunk as u32,
        slices: slices as u32,
        group_vec4: layout.vec4_per_group() as u32,
        group_channels: layout.per_group as u32,
        eps: bits(eps),
        share: bits(share),
        unbiased: bits(count as f64 / (count as f64 - 1.0)),
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}

fn conv_grad(
    kernel: &Kernel,
    problem: &Problem,
    (layout, item, gradient): (WeightLayout, Shape, Shape),
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let WeightLayout { conv, input, output } = layout;
    let (in_vec4, out_vec4) = (input.vec4_per_pixel(), output.vec4_per_pixel());
    let (group_in_vec4, weights) = (in_vec4 / conv.groups, layout.values() / 4);
    let (chunk, slices) = weight_slices(&layout, gradient);
    let tap_tiles = group_in_vec4.div_ceil(kernel.tile.rows_per_thread as usize);
    let columns = out_vec4.div_ceil(kernel.tile.cols_per_thread as usize);
    let (vec4s, workgroups) = match kernel.family {
        Family::InputGrad => {
            let vec4s = item.pixels() * in_vec4;
            (vec4s, elementwise::workgroups(kernel, vec4s, capabilities)?)
        }
        Family::WeightGrad | Family::WeightGradSubgroup => {
            (weights, weight_tiles(kernel, columns, conv.taps() * tap_tiles, slices, capabilities)?)
        }
        Family::MirroredWeights => {
            (weights, elementwise::workgroups(kernel, weights / 4, capabilities)?)
        }
        _ => (weights, elementwise::workgroups(kernel, weights, capabilities)?),
    };
    let params = ConvGradParams {
        vec4s: vec4s as u32,
        row_groups: row_groups(kernel, workgroups),
        in_height: item.h as u32,
        in_width: item.w as u32,
        in_vec4: in_vec4 as u32,
        out_height: gradient.h as u32,
        out_width: gradient.w as u32,
        out_vec4: out_vec4 as u32,
        stride: conv.stride as u32,
        dilation: conv.dilation as u32,
        padding: (conv.kernel.side() / 2 * conv.dilation) as u32,
        side: conv.kernel.side() as u32,
        group_in_vec4: group_in_vec4 as u32,
        group_out_vec4: (out_vec4 / conv.groups) as u32,
        pixels: gradient.pixels() as u32,
        chunk: chunk as u32,
        slices: slices as u32,
        tap_tiles: tap_tiles as u32,
        in_run_vec4: input.vec4_per_group() as u32,
        in_run_channels: input.per_group as u32,
        out_run_vec4: output.vec4_per_group() as u32,
        out_run_channels: output.per_group as u32,
        fold: kernel.copied_texture(problem, capabilities).map_or(0, |(_, fold)| fold),
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}

/// Workgroups of columns along x, and of tiles along y, then z.
fn tiled(
    kernel: &Kernel,
    columns: usize,
    tiles: usize,
    capabilities: &Capabilities,
) -> Result<[u32; 3], GpuError> {
    let tiles = (tiles as u64).div_ceil(u64::from(kernel.tile.workgroup_y));
    let row_groups = tiles.min(u64::from(capabilities.max_workgroups)).max(1);
    let columns = (columns as u64).div_ceil(u64::from(kernel.tile.workgroup_x));
    check_grid(kernel, [columns, row_groups, tiles.div_ceil(row_groups)], capabilities)
}

/// Workgroups of tiles of taps and input channels along x, of columns along y, and of slices along
/// z. In this order, consecutive workgroups read the same data.
fn weight_tiles(
    kernel: &Kernel,
    columns: usize,
    tiles: usize,
    slices: usize,
    capabilities: &Capabilities,
) -> Result<[u32; 3], GpuError> {
    let of = |count: usize, size: u32| (count as u64).div_ceil(u64::from(size));
    check_grid(
        kernel,
        [of(tiles, kernel.tile.workgroup_y), of(columns, kernel.tile.workgroup_x), slices as u64],
        capabilities,
    )
}

/// Workgroups per unit of the next dimension.
fn row_groups(kernel: &Kernel, workgroups: [u32; 3]) -> u32 {
    match kernel.family {
        Family::NormPartials | Family::NormGradPartials => workgroups[1],
        _ => workgroups[0],
    }
}
