//! Matrix units: how a workgroup's subgroups and their matrices cover a tile.
//!
//! A cooperative matrix is held by a whole subgroup, as SIDE by SIDE values that lanes cannot
//! access individually; a subgroup multiplies two matrices and adds a third. A workgroup's
//! subgroups form a grid, each with ROWS by COLS matrices of sums:
//!
//! ```text
//!   4 subgroups of 2 x 2 matrices      0 0 1 1
//!                                      0 0 1 1
//!                                      2 2 3 3
//!                                      2 2 3 3
//! ```

use super::tile::STAGE_QUADS;
use super::{Family, Kernel, Method, Problem, Tile};
use crate::op::Op;

/// A tile for matrices of this side. Subgroups have 32 lanes, as in GPUs with matrix units, or 8,
/// as in Mesa's software driver, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MatrixTile {
    pub side: u32,
    pub tile: Tile,
}

const fn tile(side: u32, x: u32, y: u32, rows: u32, columns: u32) -> MatrixTile {
    MatrixTile { side, tile: Tile::new(x, y, rows, columns) }
}

/// Output sizes: 128 x 128, 64 x 64 and 32 x 32 with matrices of 16, half of that with those of 8.
pub(super) const MATRIX_TILES: [MatrixTile; 9] = [
    tile(16, 32, 4, 4, 4),
    tile(16, 32, 4, 2, 2),
    tile(16, 32, 2, 1, 2),
    tile(16, 8, 4, 2, 2),
    tile(16, 8, 2, 1, 2),
    tile(8, 32, 4, 4, 4),
    tile(8, 32, 2, 2, 2),
    tile(8, 8, 2, 2, 2),
    tile(8, 8, 1, 1, 2),
];

/// Sixteen columns each: the side of one matrix, or of two.
pub(super) const GROUPED_MATRIX_TILES: [MatrixTile; 5] = [
    tile(16, 32, 2, 4, 1),
    tile(16, 8, 2, 2, 1),
    tile(8, 32, 2, 4, 2),
    tile(8, 8, 2, 2, 2),
    tile(8, 8, 1, 1, 2),
];

/// Tiles with a number of slices of K, see [`split_k`](super::split_k): for 64 x 64 outputs and
/// fewer.
pub(super) const MATRIX_SPLITS: [(MatrixTile, u32); 13] = [
    (tile(16, 32, 4, 2, 2), 8),
    (tile(16, 32, 4, 2, 2), 16),
    (tile(16, 32, 2, 1, 2), 4),
    (tile(16, 32, 2, 1, 2), 8),
    (tile(16, 32, 2, 1, 2), 16),
    (tile(16, 8, 4, 2, 2), 8),
    (tile(16, 8, 2, 1, 2), 4),
    (tile(16, 8, 2, 1, 2), 16),
    (tile(8, 32, 4, 4, 4), 8),
    (tile(8, 32, 2, 2, 2), 4),
    (tile(8, 32, 2, 2, 2), 8),
    (tile(8, 8, 2, 2, 2), 4),
    (tile(8, 8, 1, 1, 2), 8),
];

/// Padding words after each row of a stage, so that rows begin in different memory banks.
const GAP: u32 = 2;

impl Kernel {
    /// Subgroups side by side in a tile; the others are below them.
    pub(super) const fn matrix_columns(&self) -> u32 {
        if self.tile.workgroup_y >= 4 && !matches!(self.family, Family::Conv3x3GroupedMatrix) {
            2
        } else {
            1
        }
    }

    /// Output pixels of a workgroup's tile.
    pub(crate) const fn tile_rows(&self) -> u32 {
        let Tile { workgroup_y, rows_per_thread, .. } = self.tile;
        match self.family.method() {
            Method::Matrix => {
                workgroup_y / self.matrix_columns() * rows_per_thread * self.matrix_side
            }
            _ => workgroup_y * rows_per_thread,
        }
    }

    /// `vec4`s of output channels of a workgroup's tile.
    pub(crate) const fn tile_columns(&self) -> u32 {
        let Tile { workgroup_x, cols_per_thread, .. } = self.tile;
        match self.family.method() {
            Method::Matrix => self.matrix_columns() * cols_per_thread * self.matrix_side / 4,
            _ => workgroup_x * cols_per_thread,
        }
    }

    /// For a grouped convolution on matrix units, the number of channel `vec4`s that share a
    /// matrix, or a group of several matrices. A non-finite value in one of them makes all of them
    /// NaN, because it is multiplied by the zeros around the groups.
    pub(crate) fn group_span(&self, problem: &Problem) -> Option<usize> {
        match problem.op {
            Op::Conv { conv, .. } if self.family == Family::Conv3x3GroupedMatrix => Some(
                (problem.output.1.vec4_per_pixel() / conv.groups).max(self.tile_columns() as usize),
            ),
            _ => None,
        }
    }

    /// Bytes of workgroup memory: two stages of rows and weights in half precision, and a matrix of
    /// sums for each subgroup.
    pub(super) const fn matrix_workgroup_bytes(&self) -> u32 {
        let rows = self.tile_rows() * (STAGE_QUADS + GAP);
        let weights = 4 * STAGE_QUADS * (self.tile_columns() + GAP);
        let sums = self.tile.workgroup_y * self.matrix_side * self.matrix_side;
        2 * (rows + weights) * 8 + sums * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requirements of the shader source on a tile, so that its loads are divided evenly and
    /// fill a stage.
    #[test]
    fn tiles_are_whole_numbers_of_loads() {
        for MatrixTile { side, tile } in MATRIX_TILES.into_iter().chain(GROUPED_MATRIX_TILES) {
            let grouped = GROUPED_MATRIX_TILES.contains(&MatrixTile { side, tile });
            let columns = if tile.workgroup_y >= 4 && !grouped { 2 } else { 1 };
            let (invocations, name) =
                (tile.workgroup_x * tile.workgroup_y, format!("{side}: {tile:?}"));
            let rows = tile.workgroup_y / columns * tile.rows_per_thread * side;
            let words = columns * tile.cols_per_thread * side / 4;
            assert_eq!(STAGE_QUADS * rows % invocations, 0, "{name}: rows of a stage");
            assert_eq!(4 * STAGE_QUADS * words % invocations, 0, "{name}: weights of a stage");
            assert_eq!(invocations % STAGE_QUADS, 0, "{name}: invocations by quad");
            assert_eq!(4 * STAGE_QUADS % side, 0, "{name}: matrices of a stage");
        }
    }
}
