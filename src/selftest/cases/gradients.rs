//! Cases for the gradients of convolutions, and for convolutions with changing weights.

use super::super::case::{Case, Layout};
use super::super::values::Values;
use super::sizes::Size;
use crate::kernel::{Access, Family, Kernel, Tile};
use crate::op::{Conv, KernelSize, Op, TrainOp, WeightLayout};
use crate::tensor::{ChannelLayout, DType, Shape};
use KernelSize::{One, Seven, Three};

/// Every case of a kernel of these families; empty for other families.
pub(super) fn cases(kernel: Kernel) -> Vec<Case> {
    let (sizes, case): (_, fn(Gradient) -> Case) = match kernel.family {
        Family::WeightGrad | Family::WeightGradSubgroup => {
            (of_weights(kernel), Gradient::of_weights)
        }
        Family::InputGrad => (of_items(), Gradient::of_item),
        Family::MirroredWeights => (of_mirrored(), Gradient::mirrored),
        _ => return Vec::new(),
    };
    sizes.into_iter().map(|(side, size)| case(Gradient::new(side, size))).collect()
}

/// A convolution with the layouts of its tensors.
struct Gradient {
    size: Size,
    conv: Conv,
    item: Shape,
    gradient: Shape,
    weights: WeightLayout,
}

impl Gradient {
    fn new(kernel: KernelSize, size: Size) -> Self {
        let [in_channels, out_channels] = size.channels.map(|channels| channels * size.groups);
        let Size { stride, dilation, groups, output: [n, h, w], .. } = size;
        let conv = Conv { in_channels, out_channels, kernel, stride, dilation, groups };
        let [input, output] =
            [in_channels, out_channels].map(|channels| ChannelLayout::grouped(channels, groups));
        let gradient = Shape { n, c: out_channels, h, w };
        Self {
            size,
            conv,
            item: size.item(),
            gradient,
            weights: WeightLayout { conv, input, output },
        }
    }

    fn case(
        &self,
        op: TrainOp,
        inputs: Vec<(Shape, Layout)>,
        weights: Option<WeightLayout>,
        output: Layout,
    ) -> Case {
        let Size { name, max_workgroups, .. } = self.size;
        Case {
            name,
            op: Op::Train(op),
            inputs,
            weights,
            output,
            dtypes: [DType::F32; 2],
            values: Values::Plain,
            max_workgroups,
        }
    }

    fn of_weights(self) -> Case {
        let (op, WeightLayout { input, output, .. }) =
            (TrainOp::WeightGrad { conv: self.conv }, self.weights);
        let inputs =
            vec![(self.item, Layout::Pixels(input)), (self.gradient, Layout::Pixels(output))];
        self.case(op, inputs, None, Layout::Weights(self.weights))
    }

    fn of_item(self) -> Case {
        let op = TrainOp::InputGrad { conv: self.conv, height: self.item.h, width: self.item.w };
        let inputs = vec![(self.gradient, Layout::Pixels(self.weights.output))];
        self.case(op, inputs, Some(self.weights), Layout::Pixels(self.weights.input))
    }

    fn mirrored(self) -> Case {
        let op = TrainOp::MirroredWeights { conv: self.conv };
        let inputs = vec![(self.conv.weight_shape(), Layout::Weights(self.weights))];
        self.case(op, inputs, None, Layout::Weights(self.weights.mirrored()))
    }
}

/// Rows are `vec4`s of input channels of one tap; slices are more of them, or more taps; columns
/// are `vec4`s of output channels. A slice has at least 512 pixels.
fn of_weights(kernel: Kernel) -> Vec<(KernelSize, Size)> {
    let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = kernel.tile;
    let [row, inputs, outputs] =
        [4 * rows_per_thread, 4 * rows_per_thread * workgroup_y, 4 * workgroup_x * cols_per_thread]
            .map(|channels| channels as usize);
    let mut sizes = vec![
        (Three, Size::new("several tiles", [2, 3, 5], [2 * row + 5, outputs + 3])),
        (One, Size::new("several slices of pixels", [3, 20, 21], [6, 10])),
        (Three, Size::new("several slices of strided pixels", [2, 17, 31], [5, 6]).taps(2, 1)),
        (Three, Size::new("stride 2, dilation 2", [2, 4, 5], [6, 9]).taps(2, 2)),
        (Three, Size::new("dilation larger than the image", [2, 3, 2], [5, 6]).taps(1, 12)),
        (One, Size::new("stride 3", [2, 3, 4], [5, 7]).taps(3, 1)),
        (One, Size::new("images of one pixel", [16, 1, 1], [5, 6])),
        (Three, Size::new("images of one column", [5, 4, 1], [5, 6])),
        (Seven, Size::new("stem", [2, 7, 6], [3, 10]).taps(2, 1)),
        (One, Size::new("one less than the tile", [1, 1, 7], [inputs - 1, outputs - 1])),
        (One, Size::new("whole tiles", [1, 2, 4], [inputs, outputs])),
        (One, Size::new("one more than the tile", [1, 3, 1], [inputs + 1, outputs + 1])),
        (
            One,
            Size {
                max_workgroups: Some(3),
                ..Size::new("grid of the sum in two dimensions", [1, 2, 2], [12, 96])
            },
        ),
        (One, Size::new("one pixel, one channel", [1, 1, 1], [1, 1])),
    ];
    if kernel.family == Family::WeightGrad {
        sizes.extend(groups());
    }
    if kernel.access == Access::Texture {
        // As many pixels as make a texture of whole lines.
        for (_, size) in
            sizes.iter_mut().filter(|(_, size)| size.output.iter().product::<usize>() % 16 != 0)
        {
            let [n, h, w] = size.output;
            size.output = [n, h.next_multiple_of(4), w.next_multiple_of(4)];
        }
    }
    sizes
}

/// The sizes with groups.
fn groups() -> [(KernelSize, Size); 5] {
    [
        (Three, Size::new("groups padded apart", [2, 5, 6], [3, 5]).groups(2)),
        (Three, Size::new("groups of 26", [1, 3, 4], [26, 26]).groups(2).taps(1, 2)),
        (Three, Size::new("groups of a vec4", [1, 2, 3], [4, 4]).groups(32)),
        (Three, Size::new("groups of one channel", [1, 3, 5], [1, 1]).groups(8).taps(2, 1)),
        (Three, Size::new("groups of different widths", [1, 3, 2], [9, 4]).groups(3).taps(3, 2)),
    ]
}

/// One invocation per `vec4` of the image.
fn of_items() -> Vec<(KernelSize, Size)> {
    let sizes = [
        (Three, Size::new("several workgroups", [2, 4, 5], [37, 70]).taps(2, 1)),
        (
            Three,
            Size {
                max_workgroups: Some(3),
                ..Size::new("grid in two dimensions", [2, 8, 9], [5, 6])
            },
        ),
        (Three, Size::new("stride 2, dilation 2", [2, 4, 5], [6, 9]).taps(2, 2)),
        (Three, Size::new("stride 3, dilation 2", [2, 3, 4], [5, 7]).taps(3, 2)),
        (One, Size::new("stride 3", [2, 3, 4], [5, 7]).taps(3, 1)),
        (Three, Size::new("dilation larger than the image", [2, 3, 2], [5, 6]).taps(2, 12)),
        (Seven, Size::new("stem", [2, 7, 6], [3, 10]).taps(2, 1)),
        (One, Size::new("one less than a workgroup", [1, 7, 9], [4, 5])),
        (One, Size::new("whole workgroups", [1, 8, 8], [8, 5])),
        (One, Size::new("one more than a workgroup", [1, 5, 13], [4, 9])),
        (One, Size::new("one pixel, one channel", [1, 1, 1], [1, 1])),
    ];
    sizes.into_iter().chain(groups()).collect()
}

/// One invocation per 4x4 matrix of weights; there are no pixels.
fn of_mirrored() -> Vec<(KernelSize, Size)> {
    let none = [1, 1, 1];
    let sizes = [
        (Three, Size::new("several workgroups", none, [37, 70])),
        (
            One,
            Size { max_workgroups: Some(3), ..Size::new("grid in two dimensions", none, [60, 57]) },
        ),
        (Seven, Size::new("stem", none, [3, 10])),
        (One, Size::new("one less than a workgroup", none, [28, 36])),
        (One, Size::new("whole workgroups", none, [32, 64])),
        (One, Size::new("one more than a workgroup", none, [20, 52])),
        (One, Size::new("one pixel, one channel", none, [1, 1])),
    ];
    sizes
        .into_iter()
        .chain(groups().map(|(side, size)| (side, size.taps(1, size.dilation))))
        .collect()
}

/// Cases for Winograd convolutions with weights in a tensor, without a bias. A workgroup transforms
/// 64 words of them, and a texture has rows of 16 output channels.
pub(super) fn with_changing_weights(kernel: Kernel, cases: Vec<Case>) -> Vec<Case> {
    let changing = |case: Case| {
        let Op::Conv { mut conv, epilogue } = case.op else { return case };
        let mut item = case.inputs[0].0;
        if case.max_workgroups.is_some() {
            (conv.in_channels, conv.out_channels) = (40, 61);
        }
        if kernel.access == Access::Texture {
            conv.out_channels = conv.out_channels.next_multiple_of(16) - 3;
        }
        item.c = conv.in_channels;
        let output = Shape { c: conv.out_channels, ..item };
        let items = if epilogue.residual { vec![item, output] } else { vec![item] };
        let [input, output] = [conv.in_channels, conv.out_channels].map(ChannelLayout::dense);
        let weights = Some(WeightLayout { conv, input, output });
        Case {
            weights,
            max_workgroups: case.max_workgroups,
            ..Case::of_items(case.name, Op::Conv { conv, epilogue }, items)
        }
    };
    cases.into_iter().map(changing).collect()
}
