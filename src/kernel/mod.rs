//! Kernels as data: which there are, which fit a step, which one to take, and what the host gives them.
//!
//! A [`Kernel`] is one specialisation of a WGSL file: a family, a tile and flags. It knows its text, its parameters, how many
//! workgroups it needs and how its weights are packed; the GPU room turns that into pipelines and buffers. Adding a family
//! is a WGSL file, an entry in [`Family`], its candidates and, if its weights lie differently, its packing.

mod candidates;
mod capabilities;
mod conv;
mod elementwise;
mod family;
mod host;
mod pack;

use crate::error::{GpuError, Result};
use crate::op::{Epilogue, Op, StepParams};
use crate::shader::{self, AssembleError, Values};
use crate::tensor::{ChannelLayout, Shape};

pub use candidates::{all_specialisations, candidates, select};
pub use capabilities::Capabilities;
pub use family::{Family, Tile};
pub use host::HostStruct;

/// What a kernel needs to know of a step: the operation, and the shapes and layouts of what it reads and writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The operation.
    pub op: Op,
    /// Its inputs.
    pub inputs: Vec<(Shape, ChannelLayout)>,
    /// Its output.
    pub output: (Shape, ChannelLayout),
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
    /// Whether the rows of a 1x1 convolution step over input pixels.
    pub strided: bool,
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
    /// The step's output.
    Output,
}

impl Kernel {
    /// The name of the specialisation, also the label of its pipeline: `conv1x1_l8s1r16c2_bias_relu`.
    #[must_use]
    pub fn name(&self) -> String {
        let Tile { lanes, slices, rows, cols } = self.tile;
        let mut name = format!("{}_l{lanes}s{slices}r{rows}c{cols}", self.family.name());
        let Epilogue { bias, residual, relu } = self.epilogue;
        for (flag, text) in [(self.strided, "_strided"), (bias, "_bias"), (residual, "_residual"), (relu, "_relu")] {
            name.push_str(if flag { text } else { "" });
        }
        name
    }

    /// The WGSL of the specialisation.
    ///
    /// # Errors
    /// [`AssembleError`] for a mistake in a file of `shaders/`; a test assembles every specialisation.
    pub fn source(&self) -> Result<String, AssembleError> {
        let Tile { lanes, slices, rows, cols } = self.tile;
        let Epilogue { bias, residual, relu } = self.epilogue;
        let values = Values::from([
            ("LANES", lanes),
            ("SLICES", slices),
            ("ROWS", rows),
            ("COLS", cols),
            // Rows that each lane of a subgroup kernel loads.
            ("HANDS", rows / lanes),
            ("BIAS", bias.into()),
            ("RESIDUAL", residual.into()),
            ("RELU", relu.into()),
            ("STRIDED", self.strided.into()),
            ("GROUPED", (self.family == Family::Conv3x3Grouped).into()),
        ]);
        shader::assemble(self.family.file(), &values)
    }

    /// What stands behind the bindings 0, 1, 2, ... of the kernel.
    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        use Binding::{Input, Output, Params, Weights};
        match self.family {
            Family::ResidualAdd => vec![Params, Input(0), Input(1), Output],
            Family::BatchNormRelu => vec![Params, Input(0), Weights, Output],
            Family::Conv1x1Joined | Family::Conv1x1JoinedSubgroup => vec![Params, Input(0), Weights, Output, Input(1)],
            _ => {
                let mut bindings = vec![Params, Input(0), Weights, Output];
                bindings.extend(self.epilogue.residual.then_some(Input(1)));
                bindings
            }
        }
    }

    /// The bytes of `Params` and the number of workgroups for a problem.
    ///
    /// # Errors
    /// [`GpuError::TooManyWorkgroups`] when the device cannot launch as many.
    pub fn dispatch(&self, problem: &Problem, capabilities: &Capabilities) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd => elementwise::dispatch(self, problem, capabilities),
            _ => conv::dispatch(self, problem, capabilities),
        }
    }

    /// The step's parameters as the kernel reads them; empty for a step without any.
    #[must_use]
    pub fn pack(&self, problem: &Problem, params: &StepParams) -> Vec<f32> {
        pack::pack(problem, params)
    }

    /// Values that [`Kernel::pack`] gives, without packing anything.
    #[must_use]
    pub fn packed_values(&self, problem: &Problem) -> usize {
        pack::packed_values(problem)
    }

    /// The members of the host's `Params` for this kernel as (name, byte offset), and its size, to hold against the WGSL.
    #[must_use]
    pub fn host_params(&self) -> (&'static [(&'static str, usize)], usize) {
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd => elementwise::ElementwiseParams::layout(),
            _ => conv::ConvParams::layout(),
        }
    }
}

/// Refuses a grid that the device cannot launch.
fn check_grid(kernel: &Kernel, workgroups: [u64; 3], capabilities: &Capabilities) -> Result<[u32; 3], GpuError> {
    let limit = capabilities.max_workgroups;
    if workgroups.iter().any(|&count| count > u64::from(limit)) {
        return Err(GpuError::TooManyWorkgroups { kernel: kernel.name(), workgroups, limit });
    }
    Ok(workgroups.map(|count| count as u32))
}
