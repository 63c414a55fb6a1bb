//! Kernels as data: which there are, which fit a step, which one to take, and what the host gives them.
//!
//! A [`Kernel`] is one specialisation of a WGSL file: a family, a tile and flags. It knows its text, its parameters, how many
//! workgroups it needs and how its weights are packed; the GPU room turns that into pipelines and buffers. Adding a family
//! is a WGSL file, an entry in [`Family`], its candidates and, if its weights lie differently, its packing.

mod candidates;
mod capabilities;
mod compile_time;
mod conv;
mod elementwise;
mod family;
mod host;
mod matrix;
mod measured;
mod pack;
mod pool;
mod select;
mod split_k;
mod stages;
mod train;
mod update;
mod winograd;

use std::fmt::Write as _;

use crate::error::{GpuError, Result};
use crate::op::{Epilogue, Op, StepParams, TrainOp, WeightLayout};
use crate::shader::{self, AssembleError, Extensions, Patch, Values};
use crate::tensor::{ChannelLayout, Element, Shape};

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

/// Output lines that an invocation of a sliding kernel goes down: the more, the less it loads and computes twice at the ends; the
/// fewer, the more invocations there are. A half or all of ResNet's larger maps.
pub(crate) const SLIDE_LINES: u32 = 28;

/// What a kernel needs to know of a step: the operation, and the shapes and layouts of what it reads and writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The operation.
    pub op: Op,
    /// The type of the values that it reads.
    pub element: Element,
    /// Its inputs.
    pub inputs: Vec<(Shape, ChannelLayout)>,
    /// Its output.
    pub output: (Shape, ChannelLayout),
    /// The type of the values that it writes.
    pub output_element: Element,
    /// Whether its weights are a tensor that may change between runs: then a kernel that has a form of its own of them makes it in every run.
    pub weights_change: bool,
    /// How the weights lie that its first input is, where it is weights.
    pub weights: Option<WeightLayout>,
}

/// One specialisation of a WGSL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The file.
    pub family: Family,
    /// How the work is cut.
    pub tile: Tile,
    /// What follows the sums.
    pub epilogue: Epilogue,
    /// Whether the rows of a 1x1 convolution step over input pixels; whether a window moves by two pixels, not one.
    pub strided: bool,
    /// How memory is read and written.
    pub access: Access,
    /// The type of what it reads: of images and weights. Biases and norms, and what lies between dispatches, are f32 all the same.
    pub element: Element,
    /// The type of what it writes.
    pub output: Element,
    /// The tiles of Winograd's convolution, where it is one. The step's epilogue is then that of its last dispatch.
    pub winograd: Option<Winograd>,
    /// Whether the weights of Winograd's convolution are transformed in every run, by a dispatch before the products: those of a tensor that
    /// changes.
    pub fresh: bool,
    /// The rows and columns of a matrix of its matrix units, 0 where it has none.
    pub matrix_side: u32,
    /// Into how many slices K is cut, 1 where it is not. The step's epilogue is then that of its last dispatch.
    pub k_slices: u32,
}

/// What stands behind a binding of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The uniform `Params`.
    Params,
    /// The step's input of this index.
    Input(usize),
    /// The step's packed parameters.
    Weights,
    /// The bias among them, where it has a binding of its own: see [`Kernel::bias_offset`].
    Bias,
    /// The step's output.
    Output,
    /// The step's input of this index, as a uniform: for what is few numbers.
    UniformInput(usize),
    /// The step's input of this index, copied into a texture before the launch: see [`Kernel::copied_texture`].
    CopiedInput(usize),
    /// The same of what is between the step's dispatches.
    CopiedScratch(usize),
    /// What is between the step's dispatches, by index: see [`Kernel::scratch_bytes`].
    Scratch(usize),
}

impl Kernel {
    /// The name of the specialisation, also the label of its pipeline: `conv1x1_l8s1r16c2_bias_relu`.
    #[must_use]
    pub fn name(&self) -> String {
        let Tile { lanes, slices, rows, cols } = self.tile;
        let mut name = format!("{}_l{lanes}s{slices}r{rows}c{cols}", self.family.name());
        if let Some(winograd) = self.winograd {
            name.push('_');
            name.push_str(winograd.name());
        }
        name.push_str(if self.fresh { "_fresh" } else { "" });
        // Writing to a String cannot fail.
        if self.matrix_side > 0 {
            let _ = write!(name, "_m{}", self.matrix_side);
        }
        if self.k_slices > 1 {
            let _ = write!(name, "_k{}", self.k_slices);
        }
        let Epilogue { bias, residual, relu } = self.epilogue;
        for (flag, text) in [
            ((self.element, self.output) == (Element::F16, Element::F16), "_f16"),
            ((self.element, self.output) == (Element::F16, Element::F32), "_f16_f32"),
            ((self.element, self.output) == (Element::F32, Element::F16), "_f32_f16"),
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

    /// Bytes by which its weights are larger than those of the convolution: transformed ones are 16 or 36 for 9. Those that are made in every
    /// run lie in scratch.
    #[must_use]
    pub fn extra_weight_bytes(&self, problem: &Problem) -> u64 {
        let Some(winograd) = self.winograd.filter(|_| self.family.is_winograd() && !self.fresh) else { return 0 };
        let values = self.packed_values(problem);
        ((values - values / winograd.positions() * 9) * Element::F32.bytes()) as u64
    }

    /// Floating-point operations of the sums of a convolution as the kernel carries them out, tiles that end outside of the output
    /// not counted: of Winograd's, the products, which are fewer than [`Op::flops`] says; the transforms are additions for the
    /// most part and not counted either.
    #[must_use]
    pub fn executed_flops(&self, problem: &Problem) -> u64 {
        let (output, _) = problem.output;
        match (self.winograd, problem.op) {
            (Some(winograd), Op::Conv { conv, .. }) => {
                let outputs = winograd.outputs() * winograd.outputs();
                problem.op.flops(output) * winograd.positions() as u64 / (conv.taps() * outputs) as u64
            }
            (_, op) => op.flops(output),
        }
    }

    /// The WGSL of the specialisation.
    ///
    /// # Errors
    /// [`AssembleError`] for a mistake in a file of `shaders/`; a test assembles every specialisation.
    pub fn source(&self) -> Result<String, AssembleError> {
        self.source_with(&[])
    }

    /// [`Kernel::source`] with faults in it, as the self test's mutants have them.
    ///
    /// # Errors
    /// As [`Kernel::source`], and for a patch that does not fit its file.
    pub fn source_with(&self, patches: &[Patch]) -> Result<String, AssembleError> {
        let Tile { lanes, slices, rows, cols } = self.tile;
        let Epilogue { bias, residual, relu } = self.own_epilogue();
        let winograd = self.winograd.unwrap_or(Winograd::F2x2);
        let values = Values::from([
            ("LANES", lanes),
            ("SLICES", slices),
            ("ROWS", rows),
            ("COLS", cols),
            // Rows that each lane of a subgroup kernel loads, the last of some lanes in vain.
            ("HANDS", if self.family == Family::WeightGradSubgroup { rows * 4 / lanes } else { rows.div_ceil(lanes) }),
            ("BIAS", bias.into()),
            ("RESIDUAL", residual.into()),
            ("RELU", relu.into()),
            ("STRIDED", self.strided.into()),
            ("TEXTURE", (self.access == Access::Texture).into()),
            // Of half precision: what is read, what is written, and where the bias is bound.
            ("HALF", (self.element == Element::F16).into()),
            ("HALF_OUT", (self.output == Element::F16 && !self.writes_planes()).into()),
            ("BIAS_BINDING", self.bindings().iter().position(|binding| *binding == Binding::Bias).unwrap_or(0) as u32),
            // Taps along each side of a kernel that is not 1x1.
            ("SIDE", if matches!(self.family, Family::Conv7x7 | Family::Conv7x7Subgroup) { 7 } else { 3 }),
            ("NESTEROV", (self.family == Family::DescendNesterov).into()),
            ("SQUARES", (self.family == Family::SquareMoment).into()),
            ("GROUPED", (self.family == Family::Conv3x3Grouped).into()),
            ("ADJACENT", (self.family == Family::Conv3x3GroupedWindow).into()),
            // Of a window: its stride, and the input pixels of one kernel line that ROWS output pixels see. N lines of output
            // see N * STRIDE + BORDER of input.
            ("STRIDE", self.window_stride()),
            ("BORDER", 3 - self.window_stride()),
            ("WINDOW", self.window()),
            ("WINDOW_MOVES", self.window() - 1),
            ("LINES", SLIDE_LINES),
            // Of a stage: its quads of K, and how many vec4s each invocation loads of rows and of weights to fill it.
            ("DEPTH", STAGE_QUADS),
            ("BATCHED", self.family.is_winograd().into()),
            // Of slices of K: whether it sums them or adds their sums, and how many they are. Products and slices go to
            // planes.
            ("SPLIT", self.is_split().into()),
            ("K_SLICES", self.k_slices),
            ("PLANES", self.writes_planes().into()),
            // Of Winograd's tiles: inputs and outputs along each side.
            ("INPUTS", winograd.inputs() as u32),
            ("OUTPUTS", winograd.outputs() as u32),
            ("F4", (winograd == Winograd::F4x4).into()),
            ("ROW_LOADS", STAGE_QUADS * self.tile_rows() / (lanes * slices)),
            ("WEIGHT_LOADS", 4 * STAGE_QUADS * self.tile_columns() / (lanes * slices)),
            // Of matrix units: how a workgroup's subgroups lie, the side of a matrix, how many a stage is deep, and whether what is staged is an
            // array of single values.
            ("MATRIX_LINES", slices / self.matrix_columns()),
            ("MATRIX_COLUMNS", self.matrix_columns()),
            ("SIDE_OF_MATRIX", self.matrix_side),
            ("STAGE_MATRICES", (4 * STAGE_QUADS).checked_div(self.matrix_side).unwrap_or(0)),
            ("SCALARS", (self.matrix_side == 8).into()),
        ]);
        shader::assemble_with(self.family.file(), &values, patches)
    }

    /// What stands behind the bindings 0, 1, 2, ... of the kernel.
    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        use Binding::{Bias, CopiedInput, CopiedScratch, Input, Output, Params, Scratch, UniformInput, Weights};
        let written = self.written();
        match self.family {
            Family::ResidualAdd => vec![Params, Input(0), Input(1), Output],
            Family::MaxPool | Family::GlobalAvgPool | Family::Convert => vec![Params, Input(0), Output],
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
                let gradient = if self.access == Access::Texture { CopiedInput(1) } else { Input(1) };
                vec![Params, Input(0), gradient, written]
            }
            Family::MirroredWeights | Family::AvgPoolGrad | Family::BiasGrad => vec![Params, Input(0), Output],
            Family::Accumulate | Family::Moment | Family::SquareMoment => {
                vec![Params, Input(0), Input(1), UniformInput(2), Output]
            }
            Family::Velocity | Family::AdamW => vec![Params, Input(0), Input(1), Input(2), UniformInput(3), Output],
            Family::Descend => vec![Params, Input(0), Input(2), UniformInput(3), Output],
            Family::DescendNesterov => vec![Params, Input(0), Input(2), UniformInput(3), Output, Input(1)],
            Family::InputGrad => vec![Params, Input(0), Weights, Output],
            Family::WeightGradSum => vec![Params, Scratch(0), Output],
            Family::WinogradWeights => vec![Params, Weights, written],
            Family::WinogradInput => vec![Params, Input(0), written],
            Family::Conv3x3Winograd | Family::Conv3x3WinogradSubgroup => {
                let weights = match (self.fresh, self.access) {
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

    /// The one binding that the kernel writes.
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
    /// [`GpuError::TooManyWorkgroups`] when the device cannot launch as many; [`GpuError::KernelLimit`] for sums that are longer
    /// than a software driver's loops.
    pub fn dispatch(&self, problem: &Problem, capabilities: &Capabilities) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
        check_iterations(&self.name(), self.iterations(problem), capabilities)?;
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd | Family::Convert => {
                elementwise::dispatch(self, problem, capabilities)
            }
            Family::MaxPool | Family::GlobalAvgPool => pool::dispatch(self, problem, capabilities),
            Family::WinogradInput | Family::WinogradOutput => winograd::dispatch(self, problem, capabilities),
            Family::WinogradWeights => winograd::weights_dispatch(self, problem, capabilities),
            Family::SplitKSum => split_k::dispatch(self, problem, capabilities),
            Family::ReluGrad => elementwise::dispatch(self, problem, capabilities),
            Family::MaxPoolGrad | Family::AvgPoolGrad => pool::dispatch(self, problem, capabilities),
            Family::CrossEntropy | Family::CrossEntropyGrad | Family::Gate => update::loss(self, problem, capabilities),
            family if family.is_training() => match problem.op {
                Op::Train(TrainOp::Update(op)) => update::update(self, op, problem, capabilities),
                _ => train::dispatch(self, problem, capabilities),
            },
            _ => conv::dispatch(self, problem, capabilities),
        }
    }

    /// About how often one invocation goes round its loops: once for each `vec4` of a sum and once for each tap.
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
                let (image, _) = problem.inputs[0];
                ((image.h * image.w) as u64).div_ceil(u64::from(self.tile.slices)) + u64::from(self.tile.slices)
            }
            Op::MaxPool { .. } | Op::BatchNorm { .. } | Op::Add { .. } | Op::Convert { .. } => 9,
            Op::Train(_) => train::iterations(problem),
        }
    }

    /// The step's parameters as the kernel reads them; empty for a step without any.
    #[must_use]
    pub fn pack(&self, problem: &Problem, params: &StepParams) -> Vec<f32> {
        match self.winograd {
            Some(winograd) => pack::pack_winograd(self.family, winograd, problem, params),
            None if self.family == Family::SplitKSum => pack::pack_bias(problem, params),
            None => pack::pack(problem, params),
        }
    }

    /// Values that [`Kernel::pack`] gives, without packing anything.
    #[must_use]
    pub fn packed_values(&self, problem: &Problem) -> usize {
        match self.winograd {
            Some(winograd) => pack::packed_winograd_values(self, winograd, problem),
            None if self.family == Family::SplitKSum => pack::packed_bias_values(self, problem),
            None => pack::packed_values(problem),
        }
    }

    /// Width and height of the texture that holds the packed parameters as texels of four values, for a kernel that reads them
    /// from one: a line per quad of K, and one of the bias, which may end early.
    #[must_use]
    pub fn weights_texture(&self, problem: &Problem) -> Option<[u32; 2]> {
        let width = problem.output.1.vec4_per_pixel() * 4;
        let height = self.packed_values(problem).div_ceil(width * 4);
        let transforms = self.family.is_transform() || self.family.is_training() || self.fresh;
        (self.access == Access::Texture && !transforms).then_some([width as u32, height as u32])
    }

    /// Width and height of the texture that gets a copy before a launch, for a kernel that reads an input or what lies between dispatches from
    /// one; and of the gradient of an output, how many pixels a line has, in powers of two.
    #[must_use]
    pub fn copied_texture(&self, problem: &Problem, capabilities: &Capabilities) -> Option<([u32; 2], u32)> {
        match self.family {
            _ if self.access != Access::Texture => None,
            Family::WeightGradSubgroup => train::gradient_texture(problem, capabilities.max_texture_side),
            _ if self.fresh => Self { fresh: false, ..*self }.weights_texture(problem).map(|size| (size, 0)),
            _ => None,
        }
    }

    /// What it reads from a texture that gets a copy before the launch: an input, or what lies between dispatches.
    #[must_use]
    pub fn copied(&self) -> Option<Binding> {
        let is_copied = |binding: &Binding| matches!(binding, Binding::CopiedInput(_) | Binding::CopiedScratch(_));
        self.bindings().into_iter().find(is_copied)
    }

    /// Whether its text has numbers of half precision.
    pub(super) const fn uses_f16(&self) -> bool {
        matches!(self.element, Element::F16) || matches!(self.output, Element::F16)
    }

    /// How far a window moves from one output pixel to the next.
    const fn window_stride(&self) -> u32 {
        if self.strided { 2 } else { 1 }
    }

    /// Input pixels of one line that a lane of a window kernel sees.
    const fn window(&self) -> u32 {
        (self.tile.rows - 1) * self.window_stride() + 3
    }

    /// Bytes of workgroup memory.
    #[must_use]
    pub const fn workgroup_bytes(&self) -> u32 {
        let Tile { lanes, slices, rows, cols } = self.tile;
        let vec4s = match self.family.method() {
            Method::Staged => 2 * STAGE_QUADS * (slices * rows + 4 * lanes * cols),
            Method::Matrix => return self.matrix_workgroup_bytes(),
            Method::StagedGroups => ((slices - 1) * self.window_stride() + 3) * self.window() * lanes,
            _ if matches!(self.family, Family::GlobalAvgPool) => lanes * slices,
            _ => 0,
        };
        // What is staged is as it was read; sums of a mean are f32.
        let element = if matches!(self.family, Family::GlobalAvgPool) { Element::F32 } else { self.element };
        vec4s * 4 * element.bytes() as u32
    }

    /// Workgroups that cover the rows of an output; of one product, where they are several.
    fn row_tiles(&self, problem: &Problem) -> u64 {
        let (output, _) = problem.output;
        let Tile { slices, rows, .. } = self.tile;
        let tiles = |count: usize, step: u32| (count as u64).div_ceil(u64::from(step));
        let (images, strips) = (output.n as u64, tiles(output.w, rows));
        match self.family.method() {
            Method::Window => (images * output.h as u64 * strips).div_ceil(u64::from(slices)),
            Method::Slide => (images * tiles(output.h, SLIDE_LINES) * strips).div_ceil(u64::from(slices)),
            Method::StagedGroups => images * tiles(output.h, slices) * strips,
            _ if self.winograd.is_some() => tiles(self.products(problem).1, slices * rows),
            _ => tiles(output.pixels(), self.tile_rows()),
        }
    }

    /// The matrix products that it computes, and the rows of each: for each position of Winograd's tiles one, and for
    /// each slice of K.
    fn products(&self, problem: &Problem) -> (usize, usize) {
        match self.winograd {
            Some(winograd) => (winograd.positions(), winograd.grid(problem).tiles()),
            None => (self.k_slices as usize, problem.output.0.pixels()),
        }
    }

    /// What the text asks of a device beyond plain WGSL.
    #[must_use]
    pub fn extensions(&self) -> Extensions {
        Extensions {
            subgroups: self.family.uses_subgroups(),
            int64: self.access == Access::Texture,
            f16: self.uses_f16(),
            matrix_side: self.matrix_side,
        }
    }

    /// The members of the host's `Params` for this kernel as (name, byte offset), and its size, to hold against the WGSL.
    #[must_use]
    pub fn host_params(&self) -> (&'static [(&'static str, usize)], usize) {
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd | Family::Convert => elementwise::ElementwiseParams::layout(),
            Family::MaxPool | Family::GlobalAvgPool => pool::PoolParams::layout(),
            family if family.is_transform() => winograd::WinogradParams::layout(),
            Family::SplitKSum => split_k::SplitKParams::layout(),
            Family::ReluGrad => elementwise::ElementwiseParams::layout(),
            Family::MaxPoolGrad | Family::AvgPoolGrad => pool::PoolParams::layout(),
            Family::CrossEntropy | Family::CrossEntropyGrad | Family::Gate => update::LossParams::layout(),
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

/// Mesa's llvmpipe leaves a loop after 65,535 iterations (LP_MAX_TGSI_LOOP_ITERATIONS), counted over all loops of an invocation, without
/// a word. Some are left for loops that are not counted here.
const MOST_ITERATIONS: u64 = 65_000;

/// Refuses loops of one invocation that a software driver would leave before their end.
///
/// # Errors
/// [`GpuError::KernelLimit`].
pub(crate) fn check_iterations(kernel: &str, needs: u64, capabilities: &Capabilities) -> Result<(), GpuError> {
    if capabilities.kind != DeviceKind::Software || needs <= MOST_ITERATIONS {
        return Ok(());
    }
    let (kernel, resource, limit) = (kernel.to_owned(), "iterations of its loops", MOST_ITERATIONS);
    Err(GpuError::KernelLimit { kernel, resource, needs, limit })
}

/// Refuses a grid that the device cannot launch.
fn check_grid(kernel: &Kernel, workgroups: [u64; 3], capabilities: &Capabilities) -> Result<[u32; 3], GpuError> {
    let limit = capabilities.max_workgroups;
    if workgroups.iter().any(|&count| count > u64::from(limit)) {
        return Err(GpuError::TooManyWorkgroups { kernel: kernel.name(), workgroups, limit });
    }
    Ok(workgroups.map(|count| count as u32))
}
