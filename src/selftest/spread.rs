//! Where a kernel may put NaN for a number, once there are values that are not finite.

use std::collections::HashSet;

use super::case::Case;
use crate::kernel::{Family, Grid, Kernel};
use crate::op::{Conv, Op, TrainOp};
use crate::tensor::HostTensor;

/// Where NaN may stand for what is expected.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Of Winograd's convolution, and the tiles that see a value that is not finite.
    grid: Option<Grid>,
    tiles: HashSet<[usize; 5]>,
    /// Of a grouped convolution on matrix units: which matrix a channel is in, and the images, matrices and places that see such a value.
    matrices: Option<Matrices>,
    /// Channels.
    channels: HashSet<usize>,
    /// Weights, but for their input channel.
    taps: HashSet<[usize; 3]>,
}

impl Spread {
    /// Of a kernel on these inputs, and weights behind them.
    pub fn of(case: &Case, kernel: Kernel, reads: &[HostTensor]) -> Self {
        let mut spread = Self::default();
        match case.op {
            Op::Conv { conv, .. } if kernel.family == Family::Conv3x3GroupedMatrix => {
                spread.matrices = Matrices::of(case, conv, kernel, &reads[0]);
            }
            Op::Conv { .. } => spread.of_tiles(case, kernel, reads),
            Op::Train(TrainOp::WeightGrad { conv }) if kernel.family == Family::WeightGradSubgroup => {
                spread.of_borders(conv, &reads[0], &reads[1]);
            }
            // Sums of differences from a value that is not finite, and products of one and a gradient that ReLU hides.
            Op::Train(TrainOp::NormStats { .. } | TrainOp::NormGradSums { .. } | TrainOp::NormGrad { .. }) => {
                spread.channels.extend(reads.iter().flat_map(|tensor| odd(tensor).map(|[_, channel, ..]| channel)));
            }
            _ => {}
        }
        spread
    }

    /// Whether NaN may stand at a position of the output.
    pub fn covers(&self, [n, channel, y, x]: [usize; 4]) -> bool {
        self.channels.contains(&channel)
            || self.taps.contains(&[n, y, x])
            || self.grid.is_some_and(|grid| self.tiles.contains(&grid.tile_of(n, y, x)))
            || self.matrices.as_ref().is_some_and(|matrices| matrices.see([n, channel, y, x]))
    }

    /// The tiles of Winograd's convolution that see a value that is not finite, and the channels whose transformed weights are all made of one.
    fn of_tiles(&mut self, case: &Case, kernel: Kernel, reads: &[HostTensor]) {
        self.grid = kernel.winograd.zip(case.problem().ok()).map(|(winograd, problem)| winograd.grid(&problem));
        let Some(grid) = self.grid else { return };
        for [n, _, y, x] in odd(&reads[0]) {
            self.tiles.extend(grid.tiles_that_see(n, y, x));
        }
        if let (true, Some(weights)) = (case.weights.is_some(), reads.last()) {
            self.channels.extend(odd(weights).map(|[out, ..]| out));
        }
    }

    /// Taps that see a zero for a pixel outside of the image, times a gradient that is not finite.
    fn of_borders(&mut self, conv: Conv, image: &HostTensor, gradient: &HostTensor) {
        let (side, image) = (conv.kernel.side(), image.shape());
        let is_outside = |out: usize, tap: usize, size: usize| {
            (out * conv.stride + tap * conv.dilation).checked_sub(side / 2 * conv.dilation).is_none_or(|at| at >= size)
        };
        for ([_, out, y, x], tap) in odd(gradient).flat_map(|at| (0..side * side).map(move |tap| (at, tap))) {
            if is_outside(y, tap / side, image.h) || is_outside(x, tap % side, image.w) {
                self.taps.insert([out, tap / side, tap % side]);
            }
        }
    }
}

/// The matrices of a grouped convolution, each of which holds several groups, with zeros beside them: what is not finite in one makes NaN of all.
#[derive(Debug)]
struct Matrices {
    /// Channels of a group, and channels of a matrix, both with padding.
    per_group: usize,
    channels: usize,
    seen: HashSet<[usize; 4]>,
}

impl Matrices {
    fn of(case: &Case, conv: Conv, kernel: Kernel, image: &HostTensor) -> Option<Self> {
        let channels = 4 * kernel.group_span(&case.problem().ok()?)?;
        let output = conv.output_shape(image.shape()).ok()?;
        let mut found = Self { per_group: conv.out_per_group(), channels, seen: HashSet::new() };
        // The output lines, or columns, that see an input one.
        let seeing = |at: usize, count: usize| {
            let sees =
                move |&out: &usize| (0..3).any(|tap| out * conv.stride + tap * conv.dilation == at + conv.dilation);
            (0..count).filter(sees)
        };
        for [n, channel, y, x] in odd(image) {
            let matrix = found.matrix(channel);
            for out_y in seeing(y, output.h) {
                found.seen.extend(seeing(x, output.w).map(|out_x| [n, matrix, out_y, out_x]));
            }
        }
        Some(found)
    }

    /// The matrix that a channel is in: each group is padded to whole vec4s.
    fn matrix(&self, channel: usize) -> usize {
        let padded = channel / self.per_group * self.per_group.next_multiple_of(4) + channel % self.per_group;
        padded / self.channels
    }

    fn see(&self, [n, channel, y, x]: [usize; 4]) -> bool {
        self.seen.contains(&[n, self.matrix(channel), y, x])
    }
}

/// The positions of what is not finite.
fn odd(tensor: &HostTensor) -> impl Iterator<Item = [usize; 4]> {
    let values = tensor.data().iter().enumerate().filter(|(_, value)| !value.is_finite());
    values.map(|(at, _)| tensor.shape().position(at))
}
