//! One specialisation of a WGSL file.

use std::fmt::Write as _;

use super::tile::STAGE_QUADS;
use super::{Access, Family, Method, Tile, Winograd};
use crate::op::Epilogue;
use crate::tensor::DType;

/// One specialisation of a WGSL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The family, which determines the file.
    pub family: Family,
    /// How the work is divided.
    pub tile: Tile,
    /// What is applied to the sums.
    pub epilogue: Epilogue,
    /// Whether the rows of a 1x1 convolution step over input pixels; whether a window moves by two
    /// pixels instead of one.
    pub strided: bool,
    /// How it accesses memory.
    pub access: Access,
    /// The element type of images and weights that it reads. Biases, norms and the data between
    /// dispatches are always f32.
    pub dtype: DType,
    /// The element type of its output.
    pub output_dtype: DType,
    /// The Winograd tiles, if it is a Winograd convolution. The step's epilogue is then in its last
    /// dispatch.
    pub winograd: Option<Winograd>,
    /// Whether the Winograd weights are transformed in every run, by a dispatch before the GEMM
    /// batch: for weights in a tensor that changes.
    pub transforms_weights_each_run: bool,
    /// The rows and columns of a matrix in its matrix units, 0 if it uses none.
    pub matrix_side: u32,
    /// The number of slices of K, 1 if K is not split. The step's epilogue is then in its last
    /// dispatch.
    pub k_slices: u32,
}

impl Kernel {
    /// The name of the specialisation, also the label of its pipeline:
    /// `conv1x1_l8s1r16c2_bias_relu`.
    #[must_use]
    pub fn name(&self) -> String {
        let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = self.tile;
        let mut name = format!(
            "{}_l{workgroup_x}s{workgroup_y}r{rows_per_thread}c{cols_per_thread}",
            self.family.name()
        );
        if let Some(winograd) = self.winograd {
            name.push('_');
            name.push_str(winograd.name());
        }
        name.push_str(if self.transforms_weights_each_run { "_fresh" } else { "" });
        // Writing to a String cannot fail.
        if self.matrix_side > 0 {
            let _ = write!(name, "_m{}", self.matrix_side);
        }
        if self.k_slices > 1 {
            let _ = write!(name, "_k{}", self.k_slices);
        }
        let Epilogue { bias, residual, relu } = self.epilogue;
        for (flag, text) in [
            ((self.dtype, self.output_dtype) == (DType::F16, DType::F16), "_f16"),
            ((self.dtype, self.output_dtype) == (DType::F16, DType::F32), "_f16_f32"),
            ((self.dtype, self.output_dtype) == (DType::F32, DType::F16), "_f32_f16"),
            (self.access == Access::Texture, "_texture"),
            (self.strided, "_strided"),
            (bias, "_bias"),
            (residual, "_residual"),
            (relu, "_relu"),
        ] {
            name.push_str(if flag { text } else { "" });
        }
        name
    }

    /// Whether its source uses half precision.
    pub(super) const fn uses_f16(&self) -> bool {
        matches!(self.dtype, DType::F16) || matches!(self.output_dtype, DType::F16)
    }

    /// The distance of windows of neighbouring output pixels, in input pixels.
    pub(super) const fn window_stride(&self) -> u32 {
        if self.strided { 2 } else { 1 }
    }

    /// Input pixels of one row in the window of a lane.
    pub(super) const fn window(&self) -> u32 {
        (self.tile.rows_per_thread - 1) * self.window_stride() + 3
    }

    /// Bytes of workgroup memory.
    #[must_use]
    pub const fn workgroup_bytes(&self) -> u32 {
        let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = self.tile;
        let vec4s = match self.family.method() {
            Method::Staged => {
                2 * STAGE_QUADS
                    * (workgroup_y * rows_per_thread + 4 * workgroup_x * cols_per_thread)
            }
            Method::Matrix => return self.matrix_workgroup_bytes(),
            Method::StagedGroups => {
                ((workgroup_y - 1) * self.window_stride() + 3) * self.window() * workgroup_x
            }
            _ if matches!(self.family, Family::GlobalAvgPool) => workgroup_x * workgroup_y,
            _ => 0,
        };
        // What is staged is as it was read; sums of a mean are f32.
        let dtype =
            if matches!(self.family, Family::GlobalAvgPool) { DType::F32 } else { self.dtype };
        vec4s * 4 * dtype.bytes() as u32
    }
}
