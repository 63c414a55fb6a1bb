//! The description of a step for a kernel.

use crate::op::{Op, WeightLayout};
use crate::tensor::{ChannelLayout, DType, Shape};

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
