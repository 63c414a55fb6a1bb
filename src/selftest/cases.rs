//! The table of cases: edge shapes, derived from the tile of the kernel that they are for.
//!
//! With R rows (output pixels) and C columns (`vec4`s of output channels) of a workgroup, every kernel meets: one pixel; one
//! row or channel less than its tile, whole tiles, one more, and several tiles in both directions; sums that are no
//! multiple of any step of K, channels that are no multiple of four; as far as they are for it, strides, dilations, an image
//! smaller than the dilation, and odd groups; and a grid that goes on in its next dimension. The case that finds most comes
//! first.

use super::case::{Case, layouts};
use crate::kernel::{Family, Kernel, Method, SLIDE_LINES, Tile, Winograd};
use crate::op::{Conv, Epilogue, Op, PoolWindows};
use crate::tensor::{ChannelLayout, Element, Shape};

/// What a kernel computes, as far as the choice of cases goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
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

    /// The kind that a family carries out, as the family's own table says.
    fn of(family: Family) -> Option<Self> {
        let plain = Epilogue::default();
        let sample = |kind: &Self| match kind {
            Self::Conv1x1 => Op::Conv { conv: Conv::conv1x1(4, 4, 1), epilogue: plain },
            Self::Conv3x3 => Op::Conv { conv: Conv::conv3x3(4, 4, 1, 1, 1), epilogue: plain },
            Self::Grouped => Op::Conv { conv: Conv::conv3x3(8, 8, 1, 1, 2), epilogue: plain },
            Self::Joined => {
                Op::JoinedConv { main: Conv::conv1x1(4, 4, 1), shortcut: Conv::conv1x1(4, 4, 1), relu: true }
            }
            Self::Norm => Op::BatchNorm { channels: 4, relu: true },
            Self::Stem => Op::Conv { conv: Conv::conv7x7(4, 4, 2), epilogue: plain },
            Self::Add => Op::Add { channels: 4, relu: true },
            Self::MaxPool => Op::MaxPool { channels: 4, windows: PoolWindows::Padded },
            Self::AvgPool => Op::GlobalAvgPool { channels: 4 },
            Self::Convert => Op::Convert { channels: 4, to: Element::F16 },
        };
        Self::ALL.into_iter().find(|kind| Family::of(&sample(kind)).contains(&family))
    }
}

/// The sizes of one case. Rows and columns are the output's.
#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    /// Images, height and width of the output.
    output: [usize; 3],
    /// Input and output channels, of each group.
    channels: [usize; 2],
    groups: usize,
    stride: usize,
    dilation: usize,
    max_workgroups: Option<u32>,
}

impl Size {
    const fn new(name: &'static str, output: [usize; 3], channels: [usize; 2]) -> Self {
        Self { name, output, channels, groups: 1, stride: 1, dilation: 1, max_workgroups: None }
    }

    const fn taps(self, stride: usize, dilation: usize) -> Self {
        Self { stride, dilation, ..self }
    }

    const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The image whose strided pixels are the output's. Even sides have as many more behind the last as change nothing; odd
    /// ones have none, so that strided taps meet the right and the bottom border.
    const fn image(self) -> Shape {
        let [n, h, w] = self.output;
        let behind = self.stride - 1;
        let (h, w) = (h * self.stride - behind * (h % 2), w * self.stride - behind * (w % 2));
        Shape { n, c: self.channels[0] * self.groups, h, w }
    }
}

/// At least `count` pixels in small images, so that a tile spans rows of pixels and images.
const fn small_images(count: usize) -> [usize; 3] {
    [count.div_ceil(6), 2, 3]
}

/// At least `count` pixels in two images.
const fn two_images(count: usize) -> [usize; 3] {
    [2, count.div_ceil(10), 5]
}

/// Every case of a kernel; none for a family whose operation this table does not know, which a test excludes.
#[must_use]
pub fn cases(kernel: Kernel) -> Vec<Case> {
    let Some(kind) = Kind::of(kernel.family) else { return Vec::new() };
    let Tile { lanes, slices, rows, cols } = kernel.tile;
    let (rows, channels) = ((rows * slices) as usize, (4 * lanes * cols) as usize);
    let mut all: Vec<Case> = match kind {
        Kind::Conv1x1 | Kind::Joined => sizes_1x1(rows, channels),
        Kind::Conv3x3 if kernel.winograd.is_some() => {
            let outputs = kernel.winograd.map_or(1, Winograd::outputs);
            sizes_winograd(rows, channels, outputs)
        }
        Kind::Conv3x3 => sizes_3x3(rows, channels),
        Kind::Grouped if kernel.family.method() == Method::Slide => sizes_slide(rows, SLIDE_LINES as usize, channels),
        Kind::Grouped => sizes_grouped(kernel.tile, rows, channels),
        Kind::Stem => sizes_stem(rows, channels),
        Kind::Norm | Kind::Add | Kind::MaxPool | Kind::Convert => sizes_elementwise(lanes as usize),
        Kind::AvgPool => sizes_global(lanes as usize),
    }
    .into_iter()
    .map(|size| case(kind, kernel, if kernel.is_split() { long_sums(kind, kernel, size) } else { size }))
    .collect();
    if kind == Kind::Conv1x1 {
        // A dense convolution may write for a grouped one.
        let size = Size::new("groups padded apart", [1, 2, 3], [7, 15]);
        let size = if kernel.is_split() { long_sums(kind, kernel, size) } else { size };
        let mut apart = case(kind, kernel, size);
        apart.output_layout = ChannelLayout::grouped(15, 3);
        all.push(apart);
    }
    if kind == Kind::MaxPool {
        // Windows that end inside the image, and beyond it.
        for (name, h, w) in [("ceil mode, odd sides", 7, 11), ("ceil mode, even sides", 6, 10)] {
            let mut ceil = case(kind, kernel, Size::new(name, [2, 3, 5], [1, 6]));
            ceil.op = Op::MaxPool { channels: 6, windows: PoolWindows::CeilMode };
            ceil.first = Shape { h, w, ..ceil.first };
            all.push(ceil);
        }
    }
    all
}

/// Whether a plan can hold the specialisation; a test holds this against the plans of blocks and of networks.
#[must_use]
pub fn is_in_plans(kernel: &Kernel) -> bool {
    let Epilogue { bias, residual, relu } = kernel.epilogue;
    let plain = !bias && !residual && !relu;
    match Kind::of(kernel.family) {
        // Where nothing is folded there is no epilogue. A bias alone is the last layer's and a BasicBlock's shortcut's; only
        // the last convolution of a block has a residual, and it has no stride.
        Some(Kind::Conv1x1) => plain || (bias && (!residual || relu && !kernel.strided)),
        Some(Kind::Conv3x3) => plain || (bias && relu),
        Some(Kind::Grouped | Kind::Stem) => plain || (bias && relu && !residual),
        Some(Kind::Joined) => relu,
        Some(Kind::Norm | Kind::Add | Kind::MaxPool | Kind::AvgPool | Kind::Convert) | None => true,
    }
}

fn case(kind: Kind, kernel: Kernel, size: Size) -> Case {
    let [input, output] = size.channels;
    let [n, h, w] = size.output;
    let Epilogue { residual, relu, .. } = kernel.epilogue;
    let out = Shape { n, c: output * size.groups, h, w };
    // Joined kernels stride over their second input, and 1x1 kernels only where they are specialised for it.
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
    let (op, first, second) = match kind {
        Kind::Conv1x1 => {
            let conv = Conv::conv1x1(input, output, stride);
            (Op::Conv { conv, epilogue }, size.image(), residual.then_some(out))
        }
        Kind::Conv3x3 | Kind::Grouped => {
            let conv = Conv::conv3x3(input * size.groups, out.c, stride, size.dilation, size.groups);
            (Op::Conv { conv, epilogue }, size.image(), residual.then_some(out))
        }
        Kind::Joined => {
            // Another width than the main branch's, so that neither passes for the other.
            let shortcut = Conv::conv1x1(input / 2 + 5, output, stride);
            let main = Conv::conv1x1(input, output, 1);
            let image = Shape { c: shortcut.in_channels, ..size.image() };
            (Op::JoinedConv { main, shortcut, relu }, Shape { c: input, ..out }, Some(image))
        }
        Kind::Stem => {
            let conv = Conv { dilation: size.dilation, ..Conv::conv7x7(input, output, stride) };
            (Op::Conv { conv, epilogue }, size.image(), None)
        }
        Kind::MaxPool => {
            let (windows, image) = (PoolWindows::Padded, Shape { c: output, ..size.image() });
            (Op::MaxPool { channels: output, windows }, image, None)
        }
        // The sizes are the image's, of a power of two pixels, so that the mean is exact.
        Kind::AvgPool => (Op::GlobalAvgPool { channels: output }, out, None),
        Kind::Convert => (Op::Convert { channels: output, to: kernel.output }, out, None),
        Kind::Norm => (Op::BatchNorm { channels: output, relu }, out, None),
        Kind::Add => (Op::Add { channels: output, relu }, out, Some(out)),
    };
    let (_, output_layout) = layouts(&op);
    let (element, output_element, max_workgroups) = (kernel.element, kernel.output, size.max_workgroups);
    Case { name: size.name, op, first, second, element, output_element, output_layout, max_workgroups }
}

/// A grid of five row tiles where three workgroups are the most along one dimension.
fn next_dimension(rows: usize, channels: [usize; 2]) -> Size {
    let size = Size::new("grid in three dimensions", small_images(4 * rows + 1), channels);
    Size { max_workgroups: Some(3), ..size }
}

fn sizes_1x1(rows: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several tiles", small_images(2 * rows + 1), [37, 2 * channels + 3]).taps(3, 1),
        next_dimension(rows, [5, 6]),
        Size::new("one less than the tile", [1, 1, (rows - 1).max(1)], [16, channels - 1]),
        Size::new("whole tiles", [1, 2 * rows, 1], [8, channels]).taps(2, 1),
        Size::new("one more than the tile", [1, 1, rows + 1], [20, channels + 1]).taps(2, 1),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

fn sizes_3x3(rows: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several tiles", two_images(2 * rows + 1), [37, channels + 3]),
        next_dimension(rows, [5, 6]),
        Size::new("stride 2, dilation 2", [2, 4, 5], [6, 9]).taps(2, 2),
        Size::new("stride 3", [2, 3, 4], [5, 7]).taps(3, 1),
        Size::new("dilation 2", [1, 5, rows + 1], [5, 9]).taps(1, 2),
        Size::new("dilation larger than the image", [2, 3, 2], [5, 6]).taps(1, 12),
        Size::new("one less than the tile", [1, 1, (rows - 1).max(1)], [16, channels - 1]),
        Size::new("whole tiles", [1, 2 * rows, 1], [4, channels]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

/// The same with sums long enough to be cut into slices, of which some have a stage more than others. Slices times row
/// tiles are so many workgroups that a grid can only be as small as the square root of that; the channels of that case
/// are as many as the slices' sum needs to go on in its second dimension.
fn long_sums(kind: Kind, kernel: Kernel, size: Size) -> Size {
    let [input, output] = size.channels;
    let taps = if kind == Kind::Conv3x3 { 9 } else { 1 };
    let channels = [kernel.least_channels(taps) - 1 + input, output];
    match size.max_workgroups {
        Some(_) => {
            let most = (5.0 * f64::from(kernel.k_slices)).sqrt().ceil() as u32;
            Size { channels: [channels[0], 18], max_workgroups: Some(most), ..size }
        }
        None => Size { channels, ..size },
    }
}

/// Rows are tiles of so many outputs along each side. Their products are 16 or 36 workgroups at least, so that a grid can only be as small
/// as the square root of that; the channels of that case are as many as a transform needs to go on in its second dimension.
fn sizes_winograd(rows: usize, channels: usize, outputs: usize) -> Vec<Size> {
    let tiles = |count: usize| count * outputs;
    let [n, h, w] = two_images(2 * rows + 1);
    let limit = outputs as u32 + 3;
    vec![
        Size::new("several tiles", [n, tiles(h) - 1, tiles(w) - 1], [37, channels + 3]),
        Size {
            max_workgroups: Some(limit),
            ..Size::new("grid in three dimensions", [rows, tiles(1), tiles(1)], [136, 140])
        },
        Size::new("dilation 3", [2, 3 * tiles(2) - 2, 3 * tiles(1) + 2], [6, 9]).taps(1, 3),
        Size::new("dilation 2", [1, 5, rows + 1], [5, 9]).taps(1, 2),
        Size::new("dilation larger than the image", [2, 3, 2], [5, 6]).taps(1, 12),
        Size::new("one less than the tile", [1, tiles(1), tiles(rows - 1)], [16, channels - 1]),
        Size::new("whole tiles", [1, tiles(2 * rows), tiles(1)], [4, channels]),
        Size::new("one more than the tile", [1, tiles(1), tiles(rows) + 1], [20, channels + 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

/// Few input channels, as a stem has; the sums are 49 times as long.
fn sizes_stem(rows: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several tiles", two_images(2 * rows + 1), [3, channels + 3]).taps(2, 1),
        next_dimension(rows, [5, 6]),
        Size::new("stride 1", [2, 4, 5], [6, 9]),
        Size::new("stride 3", [2, 3, 4], [1, 7]).taps(3, 1),
        // No stem has a dilation, but the kernels do.
        Size::new("dilation 2", [1, 9, rows + 1], [5, 9]).taps(1, 2),
        Size::new("one less than the tile", [1, 1, (rows - 1).max(1)], [4, channels - 1]).taps(2, 1),
        Size::new("whole tiles", [1, 2 * rows, 1], [3, channels]).taps(2, 1),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

/// Images whose pixels are summed, and channels by `vec4`s for the workgroups to count.
fn sizes_global(lanes: usize) -> Vec<Size> {
    vec![
        Size::new("several workgroups", [3, 4, 8], [1, 4 * lanes + 3]),
        Size { max_workgroups: Some(3), ..Size::new("grid in two dimensions", [9, 2, 2], [1, 2 * lanes + 1]) },
        Size::new("one less than a workgroup", [1, 16, 1], [1, 4 * (lanes - 1)]),
        Size::new("whole workgroups", [2, 1, 2], [1, 4 * lanes]),
        Size::new("one more than a workgroup", [1, 2, 1], [1, 4 * lanes + 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
        // More pixels than llvmpipe lets the loops of one invocation have iterations.
        Size::new("a large map", [1, 256, 512], [1, 5]),
    ]
}

/// Rows may also be pixels of one line, and slices lines: the first case is for those.
fn sizes_grouped(tile: Tile, rows: usize, channels: usize) -> Vec<Size> {
    let [line, lines] = [tile.rows, tile.slices].map(|count| count as usize);
    vec![
        Size::new("several tiles", [2, lines + 1, 2 * line + 1], [6, 6]).groups(channels / 8 + 1),
        Size::new("several tiles of wide groups", two_images(2 * rows + 1), [26, 38]).groups(3),
        Size::new("groups of 26", [1, 3, rows + 1], [26, 26]).groups(2),
        // As many columns a group as staged groups and window tiles of several columns have in networks.
        Size::new("groups of sixteen", [1, lines + 1, line + 1], [14, 15]).groups(3),
        Size::new("groups of thirty-two", [1, lines + 1, line + 1], [30, 31]).groups(2),
        Size { output: [5, lines, line], ..next_dimension(rows, [6, 6]) }.groups(2),
        Size::new("stride 2, dilation 2", [2, 4, 5], [6, 13]).groups(2).taps(2, 2),
        Size::new("stride 3", [2, 3, 4], [4, 8]).groups(8).taps(3, 1),
        Size::new("dilation 2", [1, 5, rows + 1], [5, 2]).groups(3).taps(1, 2),
        Size::new("dilation larger than the image", [2, 3, 2], [4, 4]).groups(4).taps(1, 12),
        Size::new("groups of one channel", [1, 3, 5], [1, 1]).groups(32),
        Size::new("groups of a vec4", [1, 2, rows + 1], [4, 4]).groups(32),
        Size::new("groups of eight", [1, 3, (rows - 1).max(1)], [8, 8]).groups(16),
        Size::new("whole tiles", [1, rows, 2], [8, channels]).groups(2),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]).groups(2),
    ]
}

/// Groups whose input channels are one `vec4`; a tile is a strip of `rows` pixels of `lines` lines.
fn sizes_slide(rows: usize, lines: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several strips and parts", [2, 2 * lines + 3, 2 * rows + 1], [3, 5]).groups(channels / 8 + 1),
        Size { max_workgroups: Some(3), ..Size::new("grid in three dimensions", [5, 2, rows], [4, 3]) }.groups(2),
        Size::new("groups of a vec4", [1, 2, rows + 1], [4, 4]).groups(32),
        Size::new("groups of one channel", [1, 3, 5], [1, 1]).groups(32),
        Size::new("one less than the tile", [1, lines - 1, (rows - 1).max(1)], [2, channels - 1]).groups(2),
        Size::new("whole tiles", [1, lines, 2 * rows], [4, channels]).groups(2),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]).groups(2),
    ]
}

/// A `vec4` per pixel but in the first, so that pixels are what a workgroup counts.
fn sizes_elementwise(lanes: usize) -> Vec<Size> {
    vec![
        Size::new("several workgroups", small_images(2 * lanes + 1), [1, 19]),
        Size { max_workgroups: Some(3), ..Size::new("grid in two dimensions", [1, 1, 4 * lanes + 1], [1, 3]) },
        Size::new("one less than a workgroup", [1, 1, lanes - 1], [1, 4]),
        Size::new("whole workgroups", [1, 2 * lanes, 1], [1, 2]),
        Size::new("one more than a workgroup", [1, 1, lanes + 1], [1, 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::error::Result;
    use crate::kernel::all_candidates;

    #[test]
    fn every_kernel_has_cases_and_f32_is_exact_for_each() -> Result<()> {
        let mut seen = HashSet::new();
        for kernel in all_candidates() {
            let cases = cases(kernel);
            assert!(cases.len() > 3, "{}: {} cases", kernel.name(), cases.len());
            for case in cases.into_iter().filter(|case| seen.insert(*case)) {
                case.problem()?;
                if kernel.tile.rows * kernel.tile.slices <= 8 {
                    case.expected()?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_strided_image_gives_the_output_that_it_is_for() -> Result<()> {
        for (stride, h, w) in (0..48).map(|i| (1 + i / 16, 1 + i / 4 % 4, 1 + i % 4)) {
            let size = Size::new("any", [2, h, w], [5, 6]).taps(stride, 1);
            for conv in [Conv::conv1x1(5, 6, stride), Conv::conv3x3(5, 6, stride, 1, 1)] {
                let op = Op::Conv { conv, epilogue: Epilogue::default() };
                assert_eq!(op.output_shape(&[size.image()])?, Shape { n: 2, c: 6, h, w }, "{conv:?}");
            }
        }
        Ok(())
    }
}
