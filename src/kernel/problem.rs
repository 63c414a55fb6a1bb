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

impl Problem {
    /// Whether shapes and layouts fit each other and the operation. If not, no kernel can run it.
    pub(super) fn is_consistent(&self) -> bool {
        let fits = |(shape, layout): &(Shape, ChannelLayout)| {
            layout.groups > 0
                && layout.channels() == shape.c
                && Shape::named("tensor", &shape.dims()).is_ok()
        };
        let shapes: Vec<Shape> = self.inputs.iter().map(|(shape, _)| *shape).collect();
        self.inputs.iter().chain([&self.output]).all(fits)
            && self.weights.is_none_or(|weights| weights.conv.is_possible())
            && self.op.output_shape(&shapes) == Ok(self.output.0)
    }
}
