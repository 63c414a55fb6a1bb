//! Kernels as data: the available kernels, the candidates for a step, the selected one, and its
//! host-side data.
//!
//! A [`Kernel`] is one specialisation of a WGSL file: a family, a tile and flags. It knows its
//! source, its parameters, its workgroup count and its weight packing; the `gpu` module turns that
//! into pipelines and buffers. A new family needs a WGSL file, an entry in [`Family`], its
//! candidates and, if its weight layout differs, its packing.

mod candidates;
mod capabilities;
mod compile_time;
mod conv;
mod dispatches;
mod elementwise;
mod family;
mod host;
mod matrix;
mod measured;
mod pack;
mod pool;
mod select;
mod split_k;
mod train;
mod update;
mod winograd;

use std::fmt::Write as _;

use crate::error::{GpuError, Result};
use crate::op::{Epilogue, Op, StepParams, TrainOp, WeightLayout};
use crate::shader::{self, AssembleError, Extensions, Patch, Values};
use crate::tensor::{ChannelLayout, DType, Shape};

pub use candidates::{all_candidates, all_specialisations, candidates, training_candidates};
pub use capabilities::{Capabilities, DeviceKind};
pub use family::{Access, Family, Method, Tile};
pub use host::HostStruct;
pub(crate) use host::host_struct;
pub use measured::Measured;
pub(crate) use pack::{pack_weights, unpack_weights};
pub use select::{select, select_for_runs};
pub(crate) use winograd::Grid;
pub use winograd::Winograd;

/// Quads of K in one stage of a staged kernel: 16 channels.
const STAGE_QUADS: u32 = 4;

/// Output rows that an invocation of a sliding kernel processes. More rows reduce the loads and
/// computations repeated at the ends; fewer rows give more invocations. This is half or all of
/// ResNet's larger maps.
pub(crate) const SLIDE_LINES: u32 = 28;

/// The information about a step that a kernel needs: the operation, and the shapes and layouts of
/// its inputs and output.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The operation.
    pub op: Op,
    /// The element type of its inputs.
    pub dtype: DType,
    /// Its inputs.
    pub inputs: Vec<(Shape, ChannelLayout)>,
    /// Its output.
    pub output: (Shape, ChannelLayout),
    /// The element type of its output.
    pub output_dtype: DType,
    /// Whether its weights are a tensor that may change between runs. A kernel that transforms its
    /// weights then does so in every run.
    pub weights_change: bool,
    /// The layout of its first input, if that is weights.
    pub weights: Option<WeightLayout>,
}

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

/// The resource of a kernel's binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The uniform `Params`.
    Params,
    /// The step's input with this index.
    Input(usize),
    /// The step's packed parameters.
    Weights,
    /// The bias from these parameters, if it has a separate binding: see [`Kernel::bias_offset`].
    Bias,
    /// The step's output.
    Output,
    /// The step's input with this index, as a uniform: for a small number of values.
    UniformInput(usize),
    /// The step's input with this index, copied into a texture before the launch: see
    /// [`Kernel::copied_texture`].
    CopiedInput(usize),
    /// The step's scratch with this index, copied into a texture before the launch.
    CopiedScratch(usize),
    /// The step's scratch with this index, which holds the data between its dispatches: see
    /// [`Kernel::scratch_bytes`].
    Scratch(usize),
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

    /// Bytes by which its weights exceed those of the convolution: transformed weights have 16 or
    /// 36 values instead of 9. Weights that are transformed in every run are in scratch instead.
    #[must_use]
    pub fn extra_weight_bytes(&self, problem: &Problem) -> u64 {
        let Some(winograd) = self
            .winograd
            .filter(|_| self.family.is_winograd() && !self.transforms_weights_each_run)
        else {
            return 0;
        };
        let values = self.packed_values(problem);
        ((values - values / winograd.positions() * 9) * DType::F32.bytes()) as u64
    }

    /// Floating-point operations of the convolution's sums as the kernel executes them, without
    /// those of tiles beyond the output. For Winograd kernels these are the products, which are
    /// fewer than [`Op::flops`]; their transforms are mostly additions and are not counted.
    #[must_use]
    pub fn executed_flops(&self, problem: &Problem) -> u64 {
        let (output, _) = problem.output;
        match (self.winograd, problem.op) {
            (Some(winograd), Op::Conv { conv, .. }) => {
                let outputs = winograd.outputs() * winograd.outputs();
                problem.op.flops(output) * winograd.positions() as u64
                    / (conv.taps() * outputs) as u64
            }
            (_, op) => op.flops(output),
        }
    }

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
        ]);
        shader::assemble_with(self.family.file(), &values, patches)
    }

    /// The resources of the kernel's bindings 0, 1, 2, ...
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table: one arm per family")]
    pub fn bindings(&self) -> Vec<Binding> {
        use Binding::{
            Bias, CopiedInput, CopiedScratch, Input, Output, Params, Scratch, UniformInput, Weights,
        };
        let written = self.written();
        match self.family {
            Family::ResidualAdd => vec![Params, Input(0), Input(1), Output],
            Family::MaxPool | Family::GlobalAvgPool | Family::Convert => {
                vec![Params, Input(0), Output]
            }
            Family::BatchNormRelu => vec![Params, Input(0), Weights, Output],
            Family::NormPartials => vec![Params, Input(0), written],
            Family::NormStats => vec![Params, Scratch(0), Input(1), Output],
            Family::NormGradPartials => vec![Params, Input(0), Input(1), Input(2), written],
            Family::NormGradSums => vec![Params, Scratch(0), Input(2), Output],
            Family::NormGrad => vec![Params, Input(0), Input(1), Input(2), Output],
            Family::NormApply => {
                let mut bindings = vec![Params, Input(0), Input(1), Output];
                bindings.extend(self.epilogue.residual.then_some(Input(2)));
                bindings
            }
            Family::NormFrozen
            | Family::RunningStats
            | Family::ReluGrad
            | Family::WeightGrad
            | Family::MaxPoolGrad
            | Family::AddBias
            | Family::CrossEntropy
            | Family::CrossEntropyGrad
            | Family::Gate => vec![Params, Input(0), Input(1), written],
            Family::WeightGradSubgroup => {
                let gradient =
                    if self.access == Access::Texture { CopiedInput(1) } else { Input(1) };
                vec![Params, Input(0), gradient, written]
            }
            Family::MirroredWeights | Family::AvgPoolGrad | Family::BiasGrad => {
                vec![Params, Input(0), Output]
            }
            Family::Accumulate | Family::Moment | Family::SquareMoment => {
                vec![Params, Input(0), Input(1), UniformInput(2), Output]
            }
            Family::Velocity | Family::AdamW => {
                vec![Params, Input(0), Input(1), Input(2), UniformInput(3), Output]
            }
            Family::Descend => vec![Params, Input(0), Input(2), UniformInput(3), Output],
            Family::DescendNesterov => {
                vec![Params, Input(0), Input(2), UniformInput(3), Output, Input(1)]
            }
            Family::InputGrad => vec![Params, Input(0), Weights, Output],
            Family::WeightGradSum => vec![Params, Scratch(0), Output],
            Family::WinogradWeights => vec![Params, Weights, written],
            Family::WinogradInput => vec![Params, Input(0), written],
            Family::Conv3x3Winograd | Family::Conv3x3WinogradSubgroup => {
                let weights = match (self.transforms_weights_each_run, self.access) {
                    (false, _) => Weights,
                    (true, Access::Texture) => CopiedScratch(2),
                    (true, Access::Vectors) => Scratch(2),
                };
                vec![Params, Scratch(0), weights, written]
            }
            Family::WinogradOutput | Family::SplitKSum => {
                let sums = Scratch(if self.family == Family::SplitKSum { 0 } else { 1 });
                let mut bindings = vec![Params, sums, Output];
                bindings.extend(self.epilogue.bias.then_some(Weights));
                bindings.extend(self.epilogue.residual.then_some(Input(1)));
                bindings
            }
            Family::Conv1x1Joined
            | Family::Conv1x1JoinedStaged
            | Family::Conv1x1JoinedSubgroup
            | Family::Conv1x1JoinedMatrix => {
                let mut bindings = vec![Params, Input(0), Weights, written, Input(1)];
                bindings.extend(self.has_own_bias().then_some(Bias));
                bindings
            }
            _ => {
                let mut bindings = vec![Params, Input(0), Weights, written];
                bindings.extend(self.own_epilogue().residual.then_some(Input(1)));
                bindings.extend(self.has_own_bias().then_some(Bias));
                bindings
            }
        }
    }

    /// The only binding that the kernel writes.
    #[must_use]
    pub const fn written(&self) -> Binding {
        match self.family {
            _ if self.is_split() => Binding::Scratch(0),
            Family::WinogradInput
            | Family::NormPartials
            | Family::NormGradPartials
            | Family::WeightGrad
            | Family::WeightGradSubgroup => Binding::Scratch(0),
            Family::Conv3x3Winograd | Family::Conv3x3WinogradSubgroup => Binding::Scratch(1),
            Family::WinogradWeights => Binding::Scratch(2),
            _ => Binding::Output,
        }
    }

    /// The bytes of `Params` and the number of workgroups for a problem.
    ///
    /// # Errors
    /// [`GpuError::TooManyWorkgroups`] if the device cannot launch this many;
    /// [`GpuError::KernelLimit`] for sums longer than the loop limit of a software driver.
    pub fn dispatch(
        &self,
        problem: &Problem,
        capabilities: &Capabilities,
    ) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
        check_iterations(&self.name(), self.iterations(problem), capabilities)?;
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd | Family::Convert => {
                elementwise::dispatch(self, problem, capabilities)
            }
            Family::MaxPool | Family::GlobalAvgPool => pool::dispatch(self, problem, capabilities),
            Family::WinogradInput | Family::WinogradOutput => {
                winograd::dispatch(self, problem, capabilities)
            }
            Family::WinogradWeights => winograd::weights_dispatch(self, problem, capabilities),
            Family::SplitKSum => split_k::dispatch(self, problem, capabilities),
            Family::ReluGrad => elementwise::dispatch(self, problem, capabilities),
            Family::MaxPoolGrad | Family::AvgPoolGrad => {
                pool::dispatch(self, problem, capabilities)
            }
            Family::CrossEntropy | Family::CrossEntropyGrad | Family::Gate => {
                update::loss(self, problem, capabilities)
            }
            family if family.is_training() => match problem.op {
                Op::Train(TrainOp::Update(op)) => update::update(self, op, problem, capabilities),
                _ => train::dispatch(self, problem, capabilities),
            },
            _ => conv::dispatch(self, problem, capabilities),
        }
    }

    /// The approximate number of loop iterations of one invocation: one for each `vec4` of a sum
    /// and one for each tap.
    fn iterations(&self, problem: &Problem) -> u64 {
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

    /// The step's parameters in the kernel's order; empty for a step without parameters.
    #[must_use]
    pub fn pack(&self, problem: &Problem, params: &StepParams) -> Vec<f32> {
        match self.winograd {
            Some(winograd) => pack::pack_winograd(self.family, winograd, problem, params),
            None if self.family == Family::SplitKSum => pack::pack_bias(problem, params),
            None => pack::pack(problem, params),
        }
    }

    /// The number of values that [`Kernel::pack`] returns, without packing anything.
    #[must_use]
    pub fn packed_values(&self, problem: &Problem) -> usize {
        match self.winograd {
            Some(winograd) => pack::packed_winograd_values(self, winograd, problem),
            None if self.family == Family::SplitKSum => pack::packed_bias_values(self, problem),
            None => pack::packed_values(problem),
        }
    }

    /// Width and height of the texture that holds the packed parameters as texels of four values,
    /// if the kernel reads them from a texture: one row per quad of K, and one for the bias, which
    /// may end early.
    #[must_use]
    pub fn weights_texture(&self, problem: &Problem) -> Option<[u32; 2]> {
        let width = problem.output.1.vec4_per_pixel() * 4;
        let height = self.packed_values(problem).div_ceil(width * 4);
        let transforms = self.family.is_transform()
            || self.family.is_training()
            || self.transforms_weights_each_run;
        (self.access == Access::Texture && !transforms).then_some([width as u32, height as u32])
    }

    /// Width and height of the texture into which data is copied before a launch, if the kernel
    /// reads an input or scratch from a texture. For the gradient of an output, also the base-2
    /// logarithm of the number of pixels in a texture row.
    #[must_use]
    pub fn copied_texture(
        &self,
        problem: &Problem,
        capabilities: &Capabilities,
    ) -> Option<([u32; 2], u32)> {
        match self.family {
            _ if self.access != Access::Texture => None,
            Family::WeightGradSubgroup => {
                train::gradient_texture(problem, capabilities.max_texture_side)
            }
            _ if self.transforms_weights_each_run => {
                Self { transforms_weights_each_run: false, ..*self }
                    .weights_texture(problem)
                    .map(|size| (size, 0))
            }
            _ => None,
        }
    }

    /// The input or scratch that is copied into a texture before the launch.
    #[must_use]
    pub fn copied(&self) -> Option<Binding> {
        let is_copied = |binding: &Binding| {
            matches!(binding, Binding::CopiedInput(_) | Binding::CopiedScratch(_))
        };
        self.bindings().into_iter().find(is_copied)
    }

    /// Whether its source uses half precision.
    pub(super) const fn uses_f16(&self) -> bool {
        matches!(self.dtype, DType::F16) || matches!(self.output_dtype, DType::F16)
    }

    /// The distance of windows of neighbouring output pixels, in input pixels.
    const fn window_stride(&self) -> u32 {
        if self.strided { 2 } else { 1 }
    }

    /// Input pixels of one row in the window of a lane.
    const fn window(&self) -> u32 {
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

    /// Workgroups that cover the rows of an output, or of each product if there are several.
    fn row_tiles(&self, problem: &Problem) -> u64 {
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
    fn gemm_batch(&self, problem: &Problem) -> (usize, usize) {
        match self.winograd {
            Some(winograd) => (winograd.positions(), winograd.grid(problem).tiles()),
            None => (self.k_slices as usize, problem.output.0.pixels()),
        }
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

    /// The members of the host's `Params` for this kernel as (name, byte offset), and its size, for
    /// comparison with the WGSL.
    #[must_use]
    pub fn host_params(&self) -> (&'static [(&'static str, usize)], usize) {
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd | Family::Convert => {
                elementwise::ElementwiseParams::layout()
            }
            Family::MaxPool | Family::GlobalAvgPool => pool::PoolParams::layout(),
            family if family.is_transform() => winograd::WinogradParams::layout(),
            Family::SplitKSum => split_k::SplitKParams::layout(),
            Family::ReluGrad => elementwise::ElementwiseParams::layout(),
            Family::MaxPoolGrad | Family::AvgPoolGrad => pool::PoolParams::layout(),
            Family::CrossEntropy | Family::CrossEntropyGrad | Family::Gate => {
                update::LossParams::layout()
            }
            family if family.is_update() => update::UpdateParams::layout(),
            Family::MirroredWeights
            | Family::InputGrad
            | Family::WeightGrad
            | Family::WeightGradSubgroup
            | Family::WeightGradSum => train::ConvGradParams::layout(),
            family if family.is_training() => train::NormParams::layout(),
            _ => conv::ConvParams::layout(),
        }
    }
}

/// Mesa's llvmpipe silently leaves a loop after 65,535 iterations (LP_MAX_TGSI_LOOP_ITERATIONS),
/// counted over all loops of an invocation. The difference is a reserve for loops not counted here.
const MOST_ITERATIONS: u64 = 65_000;

/// Returns an error for loops of one invocation that a software driver would leave early.
///
/// # Errors
/// [`GpuError::KernelLimit`].
pub(crate) fn check_iterations(
    kernel: &str,
    needs: u64,
    capabilities: &Capabilities,
) -> Result<(), GpuError> {
    if capabilities.kind != DeviceKind::Software || needs <= MOST_ITERATIONS {
        return Ok(());
    }
    let (kernel, resource, limit) = (kernel.to_owned(), "iterations of its loops", MOST_ITERATIONS);
    Err(GpuError::KernelLimit { kernel, resource, needs, limit })
}

/// Returns an error for a grid that the device cannot launch.
fn check_grid(
    kernel: &Kernel,
    workgroups: [u64; 3],
    capabilities: &Capabilities,
) -> Result<[u32; 3], GpuError> {
    let limit = capabilities.max_workgroups;
    if workgroups.iter().any(|&count| count > u64::from(limit)) {
        return Err(GpuError::TooManyWorkgroups { kernel: kernel.name(), workgroups, limit });
    }
    Ok(workgroups.map(|count| count as u32))
}
