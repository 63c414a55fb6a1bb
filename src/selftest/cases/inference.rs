//! Cases for the inference kernels.

use super::super::case::{Case, Layout};
use super::sizes::{
    Size, long_sums, sizes_1x1, sizes_3x3, sizes_elementwise, sizes_global, sizes_grouped,
    sizes_slide, sizes_stem, sizes_winograd,
};
use crate::kernel::{Family, Kernel, Method, SLIDE_LINES, Tile, Winograd};
use crate::op::{Conv, Epilogue, Op, PoolWindows};
use crate::tensor::{ChannelLayout, DType, Shape};

/// The kind of operation, as far as it determines the cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Conv1x1,
    Conv3x3,
    Grouped,
    Joined,
    Stem,
    Norm,
    Add,
    MaxPool,
    AvgPool,
    Convert,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Conv1x1,
        Self::Conv3x3,
        Self::Grouped,
        Self::Joined,
        Self::Stem,
        Self::Norm,
        Self::Add,
        Self::MaxPool,
        Self::AvgPool,
        Self::Convert,
    ];

    /// The kind of operation of a family, from the family's own table.
    pub fn of(family: Family) -> Option<Self> {
        let plain = Epilogue::default();
        let sample = |kind: &Self| match kind {
            Self::Conv1x1 => Op::Conv { conv: Conv::conv1x1(4, 4, 1), epilogue: plain },
            Self::Conv3x3 => Op::Conv { conv: Conv::conv3x3(4, 4, 1, 1, 1), epilogue: plain },
            Self::Grouped => Op::Conv { conv: Conv::conv3x3(8, 8, 1, 1, 2), epilogue: plain },
            Self::Joined => Op::JoinedConv {
                main: Conv::conv1x1(4, 4, 1),
                shortcut: Conv::conv1x1(4, 4, 1),
                relu: true,
            },
            Self::Norm => Op::BatchNorm { channels: 4, relu: true },
            Self::Stem => Op::Conv { conv: Conv::conv7x7(4, 4, 2), epilogue: plain },
            Self::Add => Op::Add { channels: 4, relu: true },
            Self::MaxPool => Op::MaxPool { channels: 4, windows: PoolWindows::Padded },
            Self::AvgPool => Op::GlobalAvgPool { channels: 4 },
            Self::Convert => Op::Convert { channels: 4, to: DType::F16 },
        };
        Self::ALL.into_iter().find(|kind| Family::of(&sample(kind)).contains(&family))
    }
}

/// Every case of a kernel; empty for a family with an operation that this table lacks, which a test
/// excludes.
pub(super) fn cases(kernel: Kernel) -> Vec<Case> {
    let Some(kind) = Kind::of(kernel.family) else { return Vec::new() };
    let taps = if kind == Kind::Conv3x3 { 9 } else { 1 };
    let long = |size: Size| if kernel.is_split() { long_sums(kernel, taps, size) } else { size };
    let lanes = kernel.tile.workgroup_x;
    let (rows, channels) = (kernel.tile_rows() as usize, 4 * kernel.tile_columns() as usize);
    let mut all: Vec<Case> = match kind {
        Kind::Conv1x1 | Kind::Joined => sizes_1x1(rows, channels),
        Kind::Conv3x3 if kernel.winograd.is_some() => {
            let outputs = kernel.winograd.map_or(1, Winograd::outputs);
            sizes_winograd(rows, channels, outputs)
        }
        Kind::Conv3x3 => sizes_3x3(rows, channels),
        Kind::Grouped if kernel.family.method() == Method::Slide => {
            sizes_slide(rows, SLIDE_LINES as usize, channels)
        }
        // Rows of a tile for matrix units are pixels wherever they lie.
        Kind::Grouped if kernel.matrix_side > 0 => {
            let mut sizes =
                sizes_grouped(Tile::new(lanes, 1, kernel.tile_rows(), 1), rows, channels);
            sizes.push(Size::new("whole tiles, groups of a vec4", [1, rows, 2], [4, 4]).groups(8));
            sizes
        }
        Kind::Grouped => sizes_grouped(kernel.tile, rows, channels),
        Kind::Stem => sizes_stem(rows, channels),
        Kind::Norm | Kind::Add | Kind::MaxPool | Kind::Convert => sizes_elementwise(lanes as usize),
        Kind::AvgPool => sizes_global(lanes as usize),
    }
    .into_iter()
    .map(|size| case(kind, kernel, long(size)))
    .collect();
    if kind == Kind::Conv1x1 {
        // A dense convolution may write for a grouped one.
        let mut apart =
            case(kind, kernel, long(Size::new("groups padded apart", [1, 2, 3], [7, 15])));
        apart.output = Layout::Pixels(ChannelLayout::grouped(15, 3));
        // A residual lies as the output does.
        apart.inputs.iter_mut().skip(1).for_each(|(_, layout)| *layout = apart.output);
        all.push(apart);
    }
    if kind == Kind::MaxPool {
        // Windows that end inside the image, and beyond it.
        for (name, h, w) in [("ceil mode, odd sides", 7, 11), ("ceil mode, even sides", 6, 10)] {
            let mut ceil = case(kind, kernel, Size::new(name, [2, 3, 5], [1, 6]));
            ceil.op = Op::MaxPool { channels: 6, windows: PoolWindows::CeilMode };
            ceil.inputs[0].0 = Shape { h, w, ..ceil.inputs[0].0 };
            all.push(ceil);
        }
    }
    all
}

fn case(kind: Kind, kernel: Kernel, size: Size) -> Case {
    let [input, output] = size.channels;
    let [n, h, w] = size.output;
    let Epilogue { residual, relu, .. } = kernel.epilogue;
    let out = Shape { n, c: output * size.groups, h, w };
    // Joined kernels stride over their second input, and 1x1 kernels only where they are
    // specialised for it.
    let stride = match kind {
        Kind::Conv1x1 if !kernel.strided => 1,
        Kind::Conv1x1 => size.stride.max(2),
        Kind::MaxPool => 2,
        // So do the grouped ones that slide along a line, by two pixels at most.
        Kind::Grouped if kernel.family.has_strided_form() => 1 + usize::from(kernel.strided),
        _ => size.stride,
    };
    let size = Size { stride, ..size };
    let epilogue = kernel.epilogue;
    let with_residual = |item| if residual { vec![item, out] } else { vec![item] };
    let (op, items) = match kind {
        Kind::Conv1x1 => {
            let conv = Conv::conv1x1(input, output, stride);
            (Op::Conv { conv, epilogue }, with_residual(size.item()))
        }
        Kind::Conv3x3 | Kind::Grouped => {
            let conv =
                Conv::conv3x3(input * size.groups, out.c, stride, size.dilation, size.groups);
            (Op::Conv { conv, epilogue }, with_residual(size.item()))
        }
        Kind::Joined => {
            // Another width than the main branch's, so that neither passes for the other.
            let shortcut = Conv::conv1x1(input / 2 + 5, output, stride);
            let main = Conv::conv1x1(input, output, 1);
            let item = Shape { c: shortcut.in_channels, ..size.item() };
            (Op::JoinedConv { main, shortcut, relu }, vec![Shape { c: input, ..out }, item])
        }
        Kind::Stem => {
            let conv = Conv { dilation: size.dilation, ..Conv::conv7x7(input, output, stride) };
            (Op::Conv { conv, epilogue }, vec![size.item()])
        }
        Kind::MaxPool => {
            let (windows, item) = (PoolWindows::Padded, Shape { c: output, ..size.item() });
            (Op::MaxPool { channels: output, windows }, vec![item])
        }
        // The sizes are the image's, of a power of two pixels, so that the mean is exact.
        Kind::AvgPool => (Op::GlobalAvgPool { channels: output }, vec![out]),
        Kind::Convert => (Op::Convert { channels: output, to: kernel.output_dtype }, vec![out]),
        Kind::Norm => (Op::BatchNorm { channels: output, relu }, vec![out]),
        Kind::Add => (Op::Add { channels: output, relu }, vec![out, out]),
    };
    let dtypes = [kernel.dtype, kernel.output_dtype];
    Case { dtypes, max_workgroups: size.max_workgroups, ..Case::of_items(size.name, op, items) }
}
