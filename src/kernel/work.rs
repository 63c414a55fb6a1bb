//! The work of a kernel for a problem: row tiles, products, operations and loop iterations.

use super::tile::SLIDE_LINES;
use super::{Family, Kernel, Method, Problem, Tile, train};
use crate::op::Op;
use crate::tensor::DType;

impl Kernel {
    /// Workgroups that cover the rows of an output, or of each product if there are several.
    pub(super) fn row_tiles(&self, problem: &Problem) -> u64 {
        let (output, _) = problem.output;
        let Tile { workgroup_y, rows_per_thread, .. } = self.tile;
        let tiles = |count: usize, step: u32| (count as u64).div_ceil(u64::from(step));
        let (items, strips) = (output.n as u64, tiles(output.w, rows_per_thread));
        match self.family.method() {
            Method::Window => (items * output.h as u64 * strips).div_ceil(u64::from(workgroup_y)),
            Method::Slide => {
                (items * tiles(output.h, SLIDE_LINES) * strips).div_ceil(u64::from(workgroup_y))
            }
            Method::StagedGroups => items * tiles(output.h, workgroup_y) * strips,
            _ if self.winograd.is_some() => {
                tiles(self.gemm_batch(problem).1, workgroup_y * rows_per_thread)
            }
            _ => tiles(output.pixels(), self.tile_rows()),
        }
    }

    /// The size of its GEMM batch, and the rows of each product: one product for each position of
    /// the Winograd tiles, or one for each slice of K.
    pub(super) fn gemm_batch(&self, problem: &Problem) -> (usize, usize) {
        match self.winograd {
            Some(winograd) => (winograd.positions(), winograd.grid(problem).tiles()),
            None => (self.k_slices as usize, problem.output.0.pixels()),
        }
    }

    /// Floating-point operations that the kernel executes for the convolution's sums, without tiles
    /// beyond the output. For Winograd kernels these are the products, which are fewer than
    /// [`Op::flops`]; their transforms are mostly additions and are not counted.
    #[must_use]
    pub fn executed_flops(&self, problem: &Problem) -> u64 {
        let (output, _) = problem.output;
        match (self.winograd, problem.op) {
            (Some(winograd), Op::Conv { conv, .. }) => {
                let outputs = winograd.outputs() * winograd.outputs();
                problem.op.flops(output).saturating_mul(winograd.positions() as u64)
                    / (conv.taps() * outputs) as u64
            }
            (_, op) => op.flops(output),
        }
    }

    /// Additional bytes of transformed weights, compared with the convolution's weights: 16 or 36
    /// values instead of 9. Weights that are transformed in every run are in scratch instead.
    #[must_use]
    pub fn extra_weight_bytes(&self, problem: &Problem) -> u64 {
        let Some(winograd) = self
            .winograd
            .filter(|_| self.family.is_winograd() && !self.transforms_weights_each_run)
        else {
            return 0;
        };
        let values = self.packed_values(problem);
        (values - values / winograd.positions() * 9).saturating_mul(DType::F32.bytes()) as u64
    }

    /// The approximate number of loop iterations of one invocation: one for each `vec4` of a sum
    /// and one for each tap.
    pub(super) fn iterations(&self, problem: &Problem) -> u64 {
        let vec4s = |input: usize, groups: usize| {
            let (_, layout) = problem.inputs[input];
            (layout.vec4_per_pixel() / groups) as u64
        };
        match problem.op {
            _ if self.winograd.is_some() => vec4s(0, 1),
            _ if self.family == Family::SplitKSum => u64::from(self.k_slices),
            Op::Conv { conv, .. } => (vec4s(0, conv.groups) + 1) * conv.taps() as u64,
            Op::JoinedConv { .. } => vec4s(0, 1) + vec4s(1, 1),
            Op::GlobalAvgPool { .. } => {
                let (item, _) = problem.inputs[0];
                ((item.h * item.w) as u64).div_ceil(u64::from(self.tile.workgroup_y))
                    + u64::from(self.tile.workgroup_y)
            }
            Op::MaxPool { .. } | Op::BatchNorm { .. } | Op::Add { .. } | Op::Convert { .. } => 9,
            Op::Train(_) => train::iterations(problem),
        }
    }
}
