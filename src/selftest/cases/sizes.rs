//! The sizes of cases, derived from the tile of the kernel under test.

use crate::kernel::{Kernel, Tile};
use crate::tensor::Shape;

/// The sizes of one case. Rows and columns are the output's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub name: &'static str,
    /// Images, height and width of the output.
    pub output: [usize; 3],
    /// Input and output channels per group.
    pub channels: [usize; 2],
    pub groups: usize,
    pub stride: usize,
    pub dilation: usize,
    pub max_workgroups: Option<u32>,
}

impl Size {
    pub const fn new(name: &'static str, output: [usize; 3], channels: [usize; 2]) -> Self {
        Self { name, output, channels, groups: 1, stride: 1, dilation: 1, max_workgroups: None }
    }

    pub const fn taps(self, stride: usize, dilation: usize) -> Self {
        Self { stride, dilation, ..self }
    }

    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The image whose strided pixels give the output. Even sides have the maximum number of extra
    /// pixels after the last that changes nothing; odd sides have none, so that strided taps reach
    /// the right and the bottom border.
    pub const fn item(self) -> Shape {
        let [n, h, w] = self.output;
        let behind = self.stride - 1;
        let (h, w) = (h * self.stride - behind * (h % 2), w * self.stride - behind * (w % 2));
        Shape { n, c: self.channels[0] * self.groups, h, w }
    }
}

/// At least `count` pixels in small images, so that a tile spans several rows of pixels and images.
pub(super) const fn small_images(count: usize) -> [usize; 3] {
    [count.div_ceil(6), 2, 3]
}

/// At least `count` pixels in two images.
pub(super) const fn two_images(count: usize) -> [usize; 3] {
    [2, count.div_ceil(10), 5]
}

/// A grid of five row tiles with a limit of three workgroups per dimension.
pub(super) fn next_dimension(rows: usize, channels: [usize; 2]) -> Size {
    let size = Size::new("grid in three dimensions", small_images(4 * rows + 1), channels);
    Size { max_workgroups: Some(3), ..size }
}

pub(super) fn sizes_1x1(rows: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several tiles", small_images(2 * rows + 1), [37, 2 * channels + 3]).taps(3, 1),
        next_dimension(rows, [5, 6]),
        Size::new("one less than the tile", [1, 1, (rows - 1).max(1)], [16, channels - 1]),
        Size::new("whole tiles", [1, 2 * rows, 1], [8, channels]).taps(2, 1),
        Size::new("one more than the tile", [1, 1, rows + 1], [20, channels + 1]).taps(2, 1),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

pub(super) fn sizes_3x3(rows: usize, channels: usize) -> Vec<Size> {
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

/// The same with sums long enough to be split into slices, some with one stage more than others.
/// Slices times row tiles is a large number of workgroups, as is the number that the sum of the
/// slices needs, so the limit of the grid is at least the square root of both. The channels of that
/// case suffice for the sum to extend into its second dimension.
pub(super) fn long_sums(kernel: Kernel, taps: usize, size: Size) -> Size {
    let [input, output] = size.channels;
    let channels = [kernel.least_channels(taps) - 1 + input, output];
    match size.max_workgroups {
        Some(_) => {
            let channels = [channels[0], 18];
            let pixels: usize = size.output.iter().product();
            let of_sum = pixels * channels[1].div_ceil(4);
            let workgroups = f64::max(5.0 * f64::from(kernel.k_slices), of_sum as f64 / 64.0);
            let most = workgroups.sqrt().ceil() as u32;
            Size { channels, max_workgroups: Some(most), ..size }
        }
        None => Size { channels, ..size },
    }
}

/// Rows are tiles with this many outputs per side. Their products need at least 16 or 36
/// workgroups, so the limit of the grid is at least the square root of that. The channels of that
/// case suffice for a transform to extend into its second dimension.
pub(super) fn sizes_winograd(rows: usize, channels: usize, outputs: usize) -> Vec<Size> {
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

/// Few input channels, as in a stem; the sums are 49 times as long.
pub(super) fn sizes_stem(rows: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several tiles", two_images(2 * rows + 1), [3, channels + 3]).taps(2, 1),
        next_dimension(rows, [5, 6]),
        Size::new("stride 1", [2, 4, 5], [6, 9]),
        Size::new("stride 3", [2, 3, 4], [1, 7]).taps(3, 1),
        // No stem has a dilation, but the kernels do.
        Size::new("dilation 2", [1, 9, rows + 1], [5, 9]).taps(1, 2),
        Size::new("one less than the tile", [1, 1, (rows - 1).max(1)], [4, channels - 1])
            .taps(2, 1),
        Size::new("whole tiles", [1, 2 * rows, 1], [3, channels]).taps(2, 1),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}

/// Images whose pixels are summed; workgroups count `vec4`s of channels.
pub(super) fn sizes_global(lanes: usize) -> Vec<Size> {
    vec![
        Size::new("several workgroups", [3, 4, 8], [1, 4 * lanes + 3]),
        Size {
            max_workgroups: Some(3),
            ..Size::new("grid in two dimensions", [9, 2, 2], [1, 2 * lanes + 1])
        },
        Size::new("one less than a workgroup", [1, 16, 1], [1, 4 * (lanes - 1)]),
        Size::new("whole workgroups", [2, 1, 2], [1, 4 * lanes]),
        Size::new("one more than a workgroup", [1, 2, 1], [1, 4 * lanes + 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
        // More pixels than llvmpipe lets the loops of one invocation have iterations.
        Size::new("a large map", [1, 256, 512], [1, 5]),
    ]
}

/// Rows may also be pixels of one image row, and slices image rows: the first case is for those.
pub(super) fn sizes_grouped(tile: Tile, rows: usize, channels: usize) -> Vec<Size> {
    let [line, lines] = [tile.rows_per_thread, tile.workgroup_y].map(|count| count as usize);
    vec![
        Size::new("several tiles", [2, lines + 1, 2 * line + 1], [6, 6]).groups(channels / 8 + 1),
        Size::new("several tiles of wide groups", two_images(2 * rows + 1), [26, 38]).groups(3),
        Size::new("groups of 26", [1, 3, rows + 1], [26, 26]).groups(2),
        // As many columns a group as staged groups and window tiles of several columns have in
        // networks.
        Size::new("groups of sixteen", [1, lines + 1, line + 1], [14, 15]).groups(3),
        Size::new("groups of thirty-two", [1, lines + 1, line + 1], [30, 31]).groups(2),
        Size { output: [5, lines, line], ..next_dimension(rows, [6, 6]) }.groups(2),
        Size::new("stride 2, dilation 2", [2, 4, 5], [6, 13]).groups(2).taps(2, 2),
        Size::new("stride 3", [2, 3, 4], [4, 8]).groups(8).taps(3, 1),
        Size::new("stride 2, groups of a vec4", [2, 3, 4], [4, 4]).groups(8).taps(2, 1),
        Size::new("dilation 2", [1, 5, rows + 1], [5, 2]).groups(3).taps(1, 2),
        Size::new("dilation larger than the image", [2, 3, 2], [4, 4]).groups(4).taps(1, 12),
        Size::new("groups of one channel", [1, 3, 5], [1, 1]).groups(32),
        Size::new("groups of a vec4", [1, 2, rows + 1], [4, 4]).groups(32),
        Size::new("groups of eight", [1, 3, (rows - 1).max(1)], [8, 8]).groups(16),
        Size::new("whole tiles", [1, rows, 2], [8, channels]).groups(2),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]).groups(2),
    ]
}

/// Groups with one `vec4` of input channels; a tile is a strip of `rows` pixels in each of `lines`
/// image rows.
pub(super) fn sizes_slide(rows: usize, lines: usize, channels: usize) -> Vec<Size> {
    vec![
        Size::new("several strips and parts", [2, 2 * lines + 3, 2 * rows + 1], [3, 5])
            .groups(channels / 8 + 1),
        Size {
            max_workgroups: Some(3),
            ..Size::new("grid in three dimensions", [5, 2, rows], [4, 3])
        }
        .groups(2),
        Size::new("groups of a vec4", [1, 2, rows + 1], [4, 4]).groups(32),
        Size::new("groups of one channel", [1, 3, 5], [1, 1]).groups(32),
        Size::new("one less than the tile", [1, lines - 1, (rows - 1).max(1)], [2, channels - 1])
            .groups(2),
        Size::new("whole tiles", [1, lines, 2 * rows], [4, channels]).groups(2),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]).groups(2),
    ]
}

/// One `vec4` per pixel except in the first case, so that a workgroup counts pixels.
pub(super) fn sizes_elementwise(lanes: usize) -> Vec<Size> {
    vec![
        Size::new("several workgroups", small_images(2 * lanes + 1), [1, 19]),
        Size {
            max_workgroups: Some(3),
            ..Size::new("grid in two dimensions", [1, 1, 4 * lanes + 1], [1, 3])
        },
        Size::new("one less than a workgroup", [1, 1, lanes - 1], [1, 4]),
        Size::new("whole workgroups", [1, 2 * lanes, 1], [1, 2]),
        Size::new("one more than a workgroup", [1, 1, lanes + 1], [1, 1]),
        Size::new("one pixel, one channel", [1, 1, 1], [1, 1]),
    ]
}
