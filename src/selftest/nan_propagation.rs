//! Positions where a kernel may output NaN instead of a number if some inputs are not finite.

use std::collections::HashSet;

use super::case::Case;
use crate::kernel::{Family, Grid, Kernel};
use crate::op::{Conv, Op, TrainOp};
use crate::tensor::HostTensor;

/// The positions where NaN is accepted instead of the expected value.
#[derive(Debug, Default)]
pub(super) struct NanPropagation {
    /// For Winograd convolutions: the grid, and the tiles that read a non-finite value.
    grid: Option<Grid>,
    tiles: HashSet<[usize; 5]>,
    /// For grouped convolutions on matrix units: the matrix of each channel, and the images,
    /// matrices and positions that read such a value.
    matrices: Option<Matrices>,
    /// Channels.
    channels: HashSet<usize>,
    /// Weights, without their input channel.
    taps: HashSet<[usize; 3]>,
}

impl NanPropagation {
    /// The positions for a kernel with these inputs, followed by the weights.
    pub fn of(case: &Case, kernel: Kernel, reads: &[HostTensor]) -> Self {
        let mut propagation = Self::default();
        match case.op {
            Op::Conv { conv, .. } if kernel.family == Family::Conv3x3GroupedMatrix => {
                propagation.matrices = Matrices::of(case, conv, kernel, &reads[0]);
            }
            Op::Conv { .. } => propagation.of_tiles(case, kernel, reads),
            Op::Train(TrainOp::WeightGrad { conv })
                if kernel.family == Family::WeightGradSubgroup =>
            {
                propagation.of_borders(conv, &reads[0], &reads[1]);
            }
            // Sums of differences from a value that is not finite, and products of one and a
            // gradient that ReLU hides.
            Op::Train(
                TrainOp::NormStats { .. } | TrainOp::NormGradSums { .. } | TrainOp::NormGrad { .. },
            ) => {
                propagation.channels.extend(
                    reads.iter().flat_map(|tensor| odd(tensor).map(|[_, channel, ..]| channel)),
                );
            }
            _ => {}
        }
        propagation
    }

    /// Whether NaN is accepted at a position of the output.
    pub fn covers(&self, [n, channel, y, x]: [usize; 4]) -> bool {
        self.channels.contains(&channel)
            || self.taps.contains(&[n, y, x])
            || self.grid.is_some_and(|grid| self.tiles.contains(&grid.tile_of(n, y, x)))
            || self.matrices.as_ref().is_some_and(|matrices| matrices.see([n, channel, y, x]))
    }

    /// The tiles of a Winograd convolution that read a non-finite value, and the channels whose
    /// transformed weights all depend on one.
    fn of_tiles(&mut self, case: &Case, kernel: Kernel, reads: &[HostTensor]) {
        self.grid = kernel
            .winograd
            .zip(case.problem().ok())
            .map(|(winograd, problem)| winograd.grid(&problem));
        let Some(grid) = self.grid else { return };
        for [n, _, y, x] in odd(&reads[0]) {
            self.tiles.extend(grid.tiles_that_see(n, y, x));
        }
        if let (true, Some(weights)) = (case.weights.is_some(), reads.last()) {
            self.channels.extend(odd(weights).map(|[out, ..]| out));
        }
    }

    /// Taps that multiply a zero for a pixel outside of the image by a non-finite gradient.
    fn of_borders(&mut self, conv: Conv, item: &HostTensor, gradient: &HostTensor) {
        let (side, item) = (conv.kernel.side(), item.shape());
        let is_outside = |out: usize, tap: usize, size: usize| {
            (out * conv.stride + tap * conv.dilation)
                .checked_sub(side / 2 * conv.dilation)
                .is_none_or(|at| at >= size)
        };
        for ([_, out, y, x], tap) in
            odd(gradient).flat_map(|at| (0..side * side).map(move |tap| (at, tap)))
        {
            if is_outside(y, tap / side, item.h) || is_outside(x, tap % side, item.w) {
                self.taps.insert([out, tap / side, tap % side]);
            }
        }
    }
}

/// The matrices of a grouped convolution, each with several groups and zeros next to them: one
/// non-finite value makes all of a matrix NaN.
#[derive(Debug)]
struct Matrices {
    /// Channels per group and channels per matrix, both with padding.
    per_group: usize,
    channels: usize,
    seen: HashSet<[usize; 4]>,
}

impl Matrices {
    fn of(case: &Case, conv: Conv, kernel: Kernel, item: &HostTensor) -> Option<Self> {
        let channels = 4 * kernel.group_span(&case.problem().ok()?)?;
        let output = conv.output_shape(item.shape()).ok()?;
        let mut found = Self { per_group: conv.out_per_group(), channels, seen: HashSet::new() };
        // The output lines, or columns, that see an input one.
        let seeing = |at: usize, count: usize| {
            let sees = move |&out: &usize| {
                (0..3).any(|tap| out * conv.stride + tap * conv.dilation == at + conv.dilation)
            };
            (0..count).filter(sees)
        };
        for [n, channel, y, x] in odd(item) {
            let matrix = found.matrix(channel);
            for out_y in seeing(y, output.h) {
                found.seen.extend(seeing(x, output.w).map(|out_x| [n, matrix, out_y, out_x]));
            }
        }
        Some(found)
    }

    /// The matrix of a channel: each group is padded to whole vec4s.
    fn matrix(&self, channel: usize) -> usize {
        let padded = channel / self.per_group * self.per_group.next_multiple_of(4)
            + channel % self.per_group;
        padded / self.channels
    }

    fn see(&self, [n, channel, y, x]: [usize; 4]) -> bool {
        self.seen.contains(&[n, self.matrix(channel), y, x])
    }
}

/// The positions of non-finite values.
fn odd(tensor: &HostTensor) -> impl Iterator<Item = [usize; 4]> {
    let values = tensor.data().iter().enumerate().filter(|(_, value)| !value.is_finite());
    values.map(|(at, _)| tensor.shape().position(at))
}
