//! The WGSL of a kernel: the values of the names in its file, and the device features that it
//! requires.

use super::tile::{SLIDE_LINES, STAGE_QUADS};
use super::{Access, Binding, Family, Kernel, Tile, Winograd};
use crate::op::Epilogue;
use crate::shader::{self, AssembleError, Extensions, Patch, Values};
use crate::tensor::DType;

impl Kernel {
    /// The WGSL of the specialisation.
    ///
    /// # Errors
    /// [`AssembleError`] for a mistake in a file of `shaders/`; a test assembles every
    /// specialisation.
    pub fn source(&self) -> Result<String, AssembleError> {
        self.source_with(&[])
    }

    /// [`Kernel::source`] with patches, such as the faults of the self-test's mutants.
    ///
    /// # Errors
    /// As [`Kernel::source`], and for a patch that does not fit its file.
    #[expect(clippy::too_many_lines, reason = "a table: one row per name of the shaders")]
    pub fn source_with(&self, patches: &[Patch]) -> Result<String, AssembleError> {
        let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = self.tile;
        let Epilogue { bias, residual, relu } = self.own_epilogue();
        let winograd = self.winograd.unwrap_or(Winograd::F2x2);
        let matrix_words = self.matrix_side * self.matrix_side / 4;
        let values = Values::from([
            ("LANES", workgroup_x),
            ("SLICES", workgroup_y),
            ("ROWS", rows_per_thread),
            ("COLS", cols_per_thread),
            // Rows that each lane of a subgroup kernel loads, the last of some lanes in vain.
            (
                "HANDS",
                if self.family == Family::WeightGradSubgroup {
                    rows_per_thread * 4 / workgroup_x
                } else {
                    rows_per_thread.div_ceil(workgroup_x)
                },
            ),
            ("BIAS", bias.into()),
            ("RESIDUAL", residual.into()),
            ("RELU", relu.into()),
            ("STRIDED", self.strided.into()),
            ("TEXTURE", (self.access == Access::Texture).into()),
            // Of half precision: what is read, what is written, and where the bias is bound.
            ("HALF", (self.dtype == DType::F16).into()),
            ("HALF_OUT", (self.output_dtype == DType::F16 && !self.writes_planes()).into()),
            (
                "BIAS_BINDING",
                self.bindings().iter().position(|binding| *binding == Binding::Bias).unwrap_or(0)
                    as u32,
            ),
            // Taps along each side of a kernel that is not 1x1.
            (
                "SIDE",
                if matches!(self.family, Family::Conv7x7 | Family::Conv7x7Subgroup) {
                    7
                } else {
                    3
                },
            ),
            ("NESTEROV", (self.family == Family::DescendNesterov).into()),
            ("SQUARES", (self.family == Family::SquareMoment).into()),
            ("GROUPED", (self.family == Family::Conv3x3Grouped).into()),
            ("ADJACENT", (self.family == Family::Conv3x3GroupedWindow).into()),
            // Of a window: its stride, and the input pixels of one kernel line that ROWS output
            // pixels see. N lines of output see N * STRIDE + BORDER of input.
            ("STRIDE", self.window_stride()),
            ("BORDER", 3 - self.window_stride()),
            ("WINDOW", self.window()),
            ("WINDOW_MOVES", self.window() - 1),
            ("LINES", SLIDE_LINES),
            // Of a stage: its quads of K, and how many vec4s each invocation loads of rows and of
            // weights to fill it.
            ("DEPTH", STAGE_QUADS),
            (
                "TAPS",
                matches!(
                    self.family,
                    Family::Conv3x3Staged | Family::Conv3x3Matrix | Family::Conv3x3GroupedMatrix
                )
                .into(),
            ),
            ("ROWS_STAY", (rows_per_thread <= 4 && cols_per_thread > 1).into()),
            ("BATCHED", self.family.is_winograd().into()),
            // Of slices of K: whether it sums them or adds their sums, and how many they are.
            // Products and slices go to planes.
            ("SPLIT", self.is_split().into()),
            ("K_SLICES", self.k_slices),
            ("PLANES", self.writes_planes().into()),
            // Of Winograd's tiles: inputs and outputs along each side.
            ("INPUTS", winograd.inputs() as u32),
            ("OUTPUTS", winograd.outputs() as u32),
            ("F4", (winograd == Winograd::F4x4).into()),
            ("ROW_LOADS", STAGE_QUADS * self.tile_rows() / (workgroup_x * workgroup_y)),
            ("WEIGHT_LOADS", 4 * STAGE_QUADS * self.tile_columns() / (workgroup_x * workgroup_y)),
            // Of matrix units: how a workgroup's subgroups lie, the side of a matrix, how many a
            // stage is deep, and whether what is staged is an array of single values.
            ("MATRIX_LINES", workgroup_y / self.matrix_columns()),
            ("MATRIX_COLUMNS", self.matrix_columns()),
            ("SIDE_OF_MATRIX", self.matrix_side),
            ("STAGE_MATRICES", (4 * STAGE_QUADS).checked_div(self.matrix_side).unwrap_or(0)),
            ("SCALARS", (self.matrix_side == 8).into()),
            // Of a matrix of sums: the words of each lane, and whether some lanes have none.
            ("MATRIX_WORDS", matrix_words.div_ceil(workgroup_x)),
            ("SPARE_LANES", (matrix_words < workgroup_x).into()),
            // Whether matrices of weights have the weights of small groups on their diagonal.
            ("DIAGONAL", (self.family == Family::Conv3x3GroupedMatrix).into()),
        ]);
        shader::assemble_with(self.family.file(), &values, patches)
    }

    /// The device features beyond plain WGSL that its source requires.
    #[must_use]
    pub fn extensions(&self) -> Extensions {
        Extensions {
            subgroups: self.family.uses_subgroups(),
            int64: self.access == Access::Texture,
            f16: self.uses_f16(),
            matrix_side: self.matrix_side,
        }
    }
}
