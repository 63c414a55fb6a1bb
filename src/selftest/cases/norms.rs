//! Cases for BatchNorm2d in training.

use super::super::case::Case;
use super::sizes::{Size, small_images};
use crate::kernel::{Family, Kernel, Tile};
use crate::op::{NORM_COEFFICIENTS, NORM_RUNNING, NORM_SUMS, Op, Scalar, TrainOp};
use crate::tensor::Shape;

/// Pixels per slice of a norm's sums.
const CHUNK: usize = 512;

/// Every case of a kernel of these families; empty for other families.
pub(super) fn cases(kernel: Kernel) -> Vec<Case> {
    let sizes = match kernel.family {
        Family::NormStats | Family::NormGradSums => sizes_of_sums(kernel.tile),
        Family::NormApply | Family::NormGrad => sizes_of_pixels(kernel.tile),
        Family::NormFrozen | Family::RunningStats => {
            sizes_of_channels(kernel.tile.workgroup_x as usize)
        }
        _ => return Vec::new(),
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(kernel, size)).collect();
    if let (Family::NormGradSums, Some(first)) = (kernel.family, cases.first()) {
        // For a frozen norm, the gradient of the image does not depend on batch statistics.
        let Op::Train(TrainOp::NormGradSums { channels, relu, .. }) = first.op else {
            return cases;
        };
        let op = Op::Train(TrainOp::NormGradSums { channels, relu, batch: false });
        cases.push(Case { name: "statistics that are not the batch's", op, ..first.clone() });
    }
    cases
}

fn case(kernel: Kernel, size: Size) -> Case {
    let [n, h, w] = size.output;
    let channels = size.channels[1];
    let item = Shape { n, c: channels, h, w };
    let per_channel = |w: usize| Shape { n: 1, c: channels, h: 1, w };
    let (eps, coefficients) = (Scalar::new(1e-3), per_channel(NORM_COEFFICIENTS));
    let (relu, residual) = (kernel.epilogue.relu, kernel.epilogue.residual);
    let (op, inputs) = match kernel.family {
        Family::NormStats => (TrainOp::NormStats { channels, eps }, vec![item, per_channel(2)]),
        Family::NormFrozen => {
            (TrainOp::NormFrozen { channels, eps }, vec![per_channel(NORM_RUNNING), per_channel(2)])
        }
        // A share of 5 / 4, which is exact.
        Family::RunningStats => (
            TrainOp::RunningStats { channels, count: 5 },
            vec![coefficients, per_channel(NORM_RUNNING)],
        ),
        Family::NormGradSums => {
            (TrainOp::NormGradSums { channels, relu, batch: true }, vec![item, item, coefficients])
        }
        Family::NormGrad => {
            (TrainOp::NormGrad { channels, relu }, vec![item, item, per_channel(NORM_SUMS)])
        }
        _ => {
            let inputs = [item, coefficients].into_iter().chain(residual.then_some(item)).collect();
            (TrainOp::NormApply { channels, residual, relu }, inputs)
        }
    };
    Case {
        max_workgroups: size.max_workgroups,
        ..Case::of_pixels(size.name, Op::Train(op), inputs, channels)
    }
}

/// Columns are `vec4`s of channels; slices of a workgroup are slices of the pixels.
fn sizes_of_sums(Tile { workgroup_x, workgroup_y, cols_per_thread, .. }: Tile) -> Vec<Size> {
    let [channels, slices] =
        [4 * workgroup_x * cols_per_thread, workgroup_y].map(|count| count as usize);
    vec![
        Size::new("several slices of pixels", [3, 19, 19], [1, channels + 3]),
        Size {
            max_workgroups: Some(3),
            ..Size::new("grid in three dimensions", [1, 3 * slices, CHUNK + 1], [1, 3])
        },
        Size::new("more slices than a workgroup's", [1, slices, CHUNK + 1], [1, 5]),
        Size::new("whole slices", [1, 32, 32], [1, channels]),
        Size::new("one less than the tile", [1, 3, 3], [1, channels - 1]),
        Size::new("one more than the tile", [2, 1, 5], [1, channels + 1]),
        // Of the second dispatch, which has 64 lanes.
        Size::new("several workgroups of sums", [1, 2, 2], [1, 8 * 64 - 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

/// Rows are consecutive pixels. One `vec4` per pixel except in the first case, so that a workgroup
/// counts pixels.
fn sizes_of_pixels(Tile { workgroup_x, rows_per_thread, .. }: Tile) -> Vec<Size> {
    let pixels = (workgroup_x * rows_per_thread) as usize;
    vec![
        Size::new("several workgroups", small_images(2 * pixels + 1), [1, 19]),
        Size {
            max_workgroups: Some(3),
            ..Size::new("grid in two dimensions", [1, 1, 4 * pixels + 1], [1, 3])
        },
        Size::new("one less than a workgroup", [1, 1, pixels - 1], [1, 4]),
        Size::new("whole workgroups", [1, 2 * pixels, 1], [1, 2]),
        Size::new("one more than a workgroup", [1, 1, pixels + 1], [1, 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

/// One invocation per `vec4` of channels.
pub(super) fn sizes_of_channels(lanes: usize) -> Vec<Size> {
    let pixels = [7, 1, 1];
    vec![
        Size::new("several workgroups", pixels, [1, 8 * lanes + 3]),
        Size {
            max_workgroups: Some(3),
            ..Size::new("grid in two dimensions", pixels, [1, 12 * lanes + 2])
        },
        Size::new("one less than a workgroup", pixels, [1, 4 * (lanes - 1)]),
        Size::new("whole workgroups", pixels, [1, 8 * lanes]),
        Size::new("one more than a workgroup", pixels, [1, 4 * lanes + 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}
