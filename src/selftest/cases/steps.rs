//! Cases for the smaller operations of training: ReLU's gradient, a network's head, the loss, and
//! the steps of an optimiser.

use super::super::case::{Case, Layout};
use super::super::values::Values;
use super::norms::sizes_of_channels;
use super::sizes::{Size, sizes_elementwise};
use crate::kernel::{Family, Kernel};
use crate::op::{CONTROL, Conv, LOSSES, Op, PoolWindows, Scalar, TrainOp, UpdateOp, WeightLayout};
use crate::tensor::{ChannelLayout, DType, Shape};

/// Every case of a kernel of these families; empty for other families.
pub(super) fn cases(kernel: Kernel) -> Vec<Case> {
    let lanes = kernel.tile.workgroup_x as usize;
    match kernel.family {
        Family::ReluGrad | Family::AddBias => sizes_elementwise(lanes)
            .into_iter()
            .map(|size| of_pixels(kernel.family, size))
            .collect(),
        Family::BiasGrad => sizes_of_channels(lanes)
            .into_iter()
            .map(|size| of_pixels(kernel.family, size))
            .collect(),
        Family::MaxPoolGrad => max_pools(lanes),
        Family::AvgPoolGrad => means(lanes),
        Family::CrossEntropy | Family::CrossEntropyGrad => losses(kernel.family, lanes),
        Family::Gate => gates(),
        family => update_of(family).map_or_else(Vec::new, |op| updates(op, lanes)),
    }
}

fn shape(n: usize, c: usize, h: usize, w: usize) -> Shape {
    Shape { n, c, h, w }
}

fn of_pixels(family: Family, size: Size) -> Case {
    let ([n, h, w], channels) = (size.output, size.channels[1]);
    let item = shape(n, channels, h, w);
    let (op, inputs) = match family {
        Family::ReluGrad => (TrainOp::ReluGrad { channels }, vec![item, item]),
        Family::AddBias => (TrainOp::AddBias { channels }, vec![item, shape(1, channels, 1, 1)]),
        _ => (TrainOp::BiasGrad { channels }, vec![item]),
    };
    Case {
        max_workgroups: size.max_workgroups,
        ..Case::of_pixels(size.name, Op::Train(op), inputs, channels)
    }
}

/// For each kind of windows, as far as they exist: those that end inside the image and beyond it.
/// With small integers, most of them contain ties.
fn max_pools(lanes: usize) -> Vec<Case> {
    let case = |name, windows, item: Shape, max_workgroups| {
        let channels = item.c;
        let gradient = Op::MaxPool { channels, windows }.output_shape(&[item]).ok()?;
        let op = Op::Train(TrainOp::MaxPoolGrad { channels, windows });
        Some(Case { max_workgroups, ..Case::of_pixels(name, op, vec![item, gradient], channels) })
    };
    let items = [
        ("several workgroups", shape(2, 9, 12, 13), None),
        ("grid in two dimensions", shape(1, 3, 16, lanes / 4 + 1), Some(3)),
        ("odd lines", shape(2, 5, 7, 8), None),
        ("odd columns", shape(1, 4, 8, 7), None),
        ("one less than a workgroup", shape(1, 4, 7, 9), None),
        ("whole workgroups", shape(2, 3, 8, 8), None),
        ("images smaller than a window", shape(3, 70, 2, 2), None),
        ("one column", shape(1, 3, 3, 1), None),
        ("one pixel, one channel", shape(1, 1, 1, 1), None),
    ];
    let of_windows = |windows| {
        items.into_iter().filter_map(move |(name, item, max)| case(name, windows, item, max))
    };
    of_windows(PoolWindows::Padded).chain(of_windows(PoolWindows::CeilMode)).collect()
}

/// Means over a power of two of values, which are exact.
fn means(lanes: usize) -> Vec<Case> {
    let case = |(name, item, max_workgroups): (_, Shape, _)| {
        let (channels, gradient) = (item.c, Shape { h: 1, w: 1, ..item });
        let op = Op::Train(TrainOp::AvgPoolGrad { channels, height: item.h, width: item.w });
        Case { max_workgroups, ..Case::of_pixels(name, op, vec![gradient], channels) }
    };
    let items = [
        ("several workgroups", shape(3, 19, 4, 8), None),
        ("grid in two dimensions", shape(3 * lanes / 16 + 1, 3, 4, 4), Some(3)),
        ("one less than a workgroup", shape(lanes - 1, 4, 1, 1), None),
        ("whole workgroups", shape(2, 2, 8, lanes / 8), None),
        ("one more than a workgroup", shape(lanes + 1, 1, 1, 1), None),
        ("one pixel, one channel", shape(1, 1, 1, 1), None),
    ];
    items.into_iter().map(case).collect()
}

/// Scores that are near, far apart, large, and equal; one invocation per image.
fn losses(family: Family, lanes: usize) -> Vec<Case> {
    let sizes = [
        ("several workgroups", 2 * lanes + 1, 10, 2.0, -4.0, None),
        ("grid in two dimensions", 3 * lanes + 1, 3, 1.0, 0.0, Some(3)),
        ("one less than a workgroup", lanes - 1, 4, 0.3, 0.0, None),
        ("whole workgroups", 2 * lanes, 5, 1.0, 1.0, None),
        ("a thousand classes", 3, 1001, 1.0, 0.5, None),
        ("large scores, far apart", 4, 5, 30.0, 1e4, None),
        ("equal scores", 6, 9, 0.0, 3.0, None),
        ("one image, two classes", 1, 2, 1.0, 0.0, None),
    ];
    let case = |(name, items, classes, spread, around, max_workgroups), smoothing: f64| {
        let (scores, targets) = (shape(items, classes, 1, 1), shape(items, 1, 1, 1));
        let smoothing = Scalar::new(smoothing);
        let (op, channels) = match family {
            Family::CrossEntropy => (TrainOp::CrossEntropy { classes, smoothing }, LOSSES),
            _ => (TrainOp::CrossEntropyGrad { classes, smoothing, count: 3 * items }, classes),
        };
        let values = Values::Scores { spread: Scalar::new(spread), around: Scalar::new(around) };
        let case = Case::of_pixels(name, Op::Train(op), vec![scores, targets], channels);
        Case { values, max_workgroups, ..case }
    };
    sizes.into_iter().flat_map(|size| [0.1, 0.0].map(|smoothing| case(size, smoothing))).collect()
}

/// One loss among many, or a single one, that is or is not finite.
fn gates() -> Vec<Case> {
    let control = shape(1, 1, 1, CONTROL);
    let losses = [
        ("all losses are numbers", 67, -1.5),
        ("a loss is NaN", 67, f32::NAN),
        ("a loss is infinite", 66, f32::INFINITY),
        ("a loss is less than all numbers", 5, f32::NEG_INFINITY),
        ("the only loss is NaN", 1, f32::NAN),
        ("the only loss is a number", 1, f32::MAX),
    ];
    let case = |(name, items, loss): (_, usize, f32)| {
        let inputs = vec![shape(items, LOSSES, 1, 1), control];
        Case {
            values: Values::Loss(loss.to_bits()),
            ..Case::of_pixels(name, Op::Train(TrainOp::Gate), inputs, 1)
        }
    };
    losses.into_iter().map(case).collect()
}

/// The operation of a family's kernels, with values for which it is exact if possible.
fn update_of(family: Family) -> Option<UpdateOp> {
    let [half, quarter] = [0.5, 0.25].map(Scalar::new);
    let descend = |nesterov| UpdateOp::Descend { momentum: half, decay: quarter, nesterov };
    match family {
        Family::Accumulate => Some(UpdateOp::Accumulate),
        Family::Velocity => Some(UpdateOp::Velocity { momentum: half, decay: quarter }),
        Family::Descend => Some(descend(false)),
        Family::DescendNesterov => Some(descend(true)),
        Family::Moment => Some(UpdateOp::Moment { beta: quarter, squares: false }),
        Family::SquareMoment => Some(UpdateOp::Moment { beta: quarter, squares: true }),
        Family::AdamW => Some(UpdateOp::AdamW { eps: half, decay: quarter }),
        _ => None,
    }
}

/// Updates of weights, and of a norm's parameters, whose gradient is the first part of a longer row
/// of numbers; with each combination of the control flags.
fn updates(op: UpdateOp, lanes: usize) -> Vec<Case> {
    let numbers = |channels: usize, w: usize| {
        (shape(1, channels, 1, w), Layout::Pixels(ChannelLayout::dense(channels)))
    };
    let weights = |conv: Conv| {
        let [input, output] =
            [conv.in_channels, conv.out_channels].map(|c| ChannelLayout::grouped(c, conv.groups));
        (conv.weight_shape(), Layout::Weights(WeightLayout { conv, input, output }))
    };
    let grouped = weights(Conv::conv3x3(6, 10, 2, 1, 2));
    let parameters = [
        ("weights of groups", grouped, grouped, None),
        ("a norm's parameters", numbers(37, 2), numbers(37, 8), None),
        ("grid in two dimensions", numbers(12 * lanes + 2, 1), numbers(12 * lanes + 2, 1), Some(3)),
        ("one less than a workgroup", numbers(4 * lanes - 4, 1), numbers(4 * lanes - 4, 1), None),
        ("whole workgroups", numbers(8 * lanes, 1), numbers(8 * lanes, 1), None),
        ("one more than a workgroup", numbers(4 * lanes + 1, 1), numbers(4 * lanes + 1, 1), None),
        ("one number", numbers(1, 1), numbers(1, 1), None),
    ];
    let case =
        |&(name, value, gradient, max_workgroups): &(_, _, (Shape, Layout), _), apply, keep| {
            let mut inputs = vec![value; op.input_count() - 1];
            if !matches!(op, UpdateOp::AdamW { .. }) {
                inputs[1] = gradient;
            }
            inputs.push(numbers(1, CONTROL));
            let (op, values) = (Op::Train(TrainOp::Update(op)), Values::Steered { apply, keep });
            Case {
                name,
                op,
                inputs,
                weights: None,
                output: value.1,
                dtypes: [DType::F32; 2],
                values,
                max_workgroups,
            }
        };
    let mut cases: Vec<Case> =
        parameters.iter().map(|parameter| case(parameter, true, true)).collect();
    let steered = [("nothing is applied", false, false), ("the first gradient", true, false)];
    cases.extend(
        steered.map(|(name, apply, keep)| Case { name, ..case(&parameters[0], apply, keep) }),
    );
    cases
}
