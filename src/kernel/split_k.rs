//! Split-K: the reduction length K is cut into slices, for maps so small that their tiles leave a
//! GPU idle.
//!
//! ```text
//! input --*_staged_*_k8--> sums [slice][row][column] --split_k_sum--> output
//!      *_matrix_*_k8
//!          a tile's workgroups, per slice           slices added in order, bias, residual, ReLU
//! ```
//!
//! A layer of 7x7 pixels and 512 channels has 8 workgroups of 64 x 64 outputs, for a GPU with more
//! than a hundred multiprocessors, and its sums have 4608 terms. With 16 slices of K it has 128
//! workgroups, and 16 planes of sums are written and read. Without atomics, slices are added in
//! order, so that two runs are bit-identical.
//!
//! K is cut between the stages of a tile, which have 16 channels each. The slices of a layer differ
//! by at most one stage.

use super::host::host_struct;
use super::planes::plane;
use super::tile::STAGE_QUADS;
use super::{Capabilities, Family, Kernel, Problem, Tile, elementwise};
use crate::error::GpuError;
use crate::op::Op;

/// Staged tiles with a number of slices of K: few slices for small tiles, which are already many;
/// more for larger ones, which load less.
pub(super) const SPLITS: [(Tile, u32); 10] = [
    (Tile::new(8, 8, 4, 1), 4),
    (Tile::new(8, 8, 4, 1), 8),
    (Tile::new(16, 16, 4, 1), 8),
    (Tile::new(16, 16, 4, 1), 16),
    (Tile::new(16, 16, 8, 1), 4),
    (Tile::new(16, 16, 8, 1), 8),
    (Tile::new(16, 16, 8, 1), 16),
    (Tile::new(16, 16, 4, 2), 8),
    (Tile::new(16, 16, 4, 2), 16),
    (Tile::new(16, 16, 4, 2), 32),
];

/// The minimum number of stages in a slice that makes filling the first stage and storing the sums
/// worthwhile.
const LEAST_STAGES: usize = 4;

host_struct! {
    /// Mirrors `Params` of `shaders/split_k_sum.wgsl`.
    SplitKParams { vec4s, vec4_per_pixel, row_groups, plane }
}

impl Kernel {
    /// Whether its sums belong to slices, which a second dispatch adds.
    #[must_use]
    pub const fn is_split(&self) -> bool {
        self.k_slices > 1 && !matches!(self.family, Family::SplitKSum)
    }

    /// The fewest input channels of a convolution with this many taps that are enough for its
    /// slices.
    pub(crate) fn least_channels(&self, taps: usize) -> usize {
        let stages_a_tap = (LEAST_STAGES * self.k_slices as usize).div_ceil(taps);
        (stages_a_tap - 1) * 4 * STAGE_QUADS as usize + 1
    }

    /// The number of stages that cover all of K, for a kernel with tiles in workgroup memory.
    pub(super) fn stages_of_k(&self, problem: &Problem) -> usize {
        let quads = |input: usize| {
            self.group_span(problem).unwrap_or(problem.inputs[input].1.vec4_per_pixel())
        };
        let k_stages = |input: usize| quads(input).div_ceil(STAGE_QUADS as usize);
        match problem.op {
            Op::Conv { conv, .. } => conv.taps() * k_stages(0),
            Op::JoinedConv { .. } => k_stages(0) + k_stages(1),
            Op::BatchNorm { .. }
            | Op::Add { .. }
            | Op::MaxPool { .. }
            | Op::GlobalAvgPool { .. }
            | Op::Convert { .. }
            | Op::Train(_) => 0,
        }
    }
}

/// Whether every slice of a kernel has enough stages.
pub(super) fn suits(kernel: &Kernel, problem: &Problem) -> bool {
    kernel.stages_of_k(problem) >= LEAST_STAGES * kernel.k_slices as usize
}

/// `Params` and workgroups of the second dispatch: one `vec4` of the output per invocation.
pub(super) fn dispatch(
    kernel: &Kernel,
    problem: &Problem,
    capabilities: &Capabilities,
) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
    let (vec4s, workgroups) = elementwise::grid(kernel, problem, capabilities)?;
    let (output, layout) = problem.output;
    let params = SplitKParams {
        vec4s,
        vec4_per_pixel: layout.vec4_per_pixel() as u32,
        row_groups: workgroups[0],
        plane: plane(output.pixels(), layout) as u32,
    };
    Ok((bytemuck::bytes_of(&params).to_vec(), workgroups))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::matrix::{MATRIX_SPLITS, MATRIX_TILES, MatrixTile};
    use super::super::{Method, all_candidates};
    use super::*;

    /// Each tile with slices of K also exists without slices, for every kernel variant.
    #[test]
    fn every_split_is_a_candidate() {
        let kernels: HashSet<Kernel> = all_candidates().into_iter().collect();
        let of = |method| {
            move |kernel: &&Kernel| kernel.family.method() == method && kernel.k_slices == 1
        };
        let staged = kernels.iter().filter(of(Method::Staged));
        let staged = staged
            .flat_map(|kernel| SPLITS.map(|(tile, k_slices)| Kernel { tile, k_slices, ..*kernel }));
        let matrix = kernels.iter().filter(of(Method::Matrix));
        let matrix = matrix.filter(|kernel| kernel.family != Family::Conv3x3GroupedMatrix);
        let matrix = matrix.flat_map(|kernel| {
            MATRIX_SPLITS.map(|(MatrixTile { side, tile }, k_slices)| Kernel {
                matrix_side: side,
                tile,
                k_slices,
                ..*kernel
            })
        });
        assert!(MATRIX_SPLITS.iter().all(|(tile, _)| MATRIX_TILES.contains(tile)));
        let splits: HashSet<Kernel> = staged.chain(matrix).collect();
        let found: HashSet<Kernel> =
            kernels.iter().filter(|kernel| kernel.is_split()).copied().collect();
        assert!(found.len() >= 3 * (SPLITS.len() + MATRIX_SPLITS.len()) && found == splits);
    }
}
