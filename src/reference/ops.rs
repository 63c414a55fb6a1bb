//! All operations: of inference and of training.

use super::{Tensor64, inference, train};
use crate::op::{Op, StepParams};
use crate::tensor::Shape;

/// Applies an operation. `output` is the shape of its output.
pub(super) fn apply(
    op: &Op,
    params: &StepParams,
    inputs: &[&Tensor64],
    weights: Option<&Tensor64>,
    output: Shape,
) -> Vec<f64> {
    match (*op, weights) {
        (Op::Train(op), weights) => train::apply(&op, inputs, weights, output),
        (Op::Conv { conv, epilogue }, Some(weights)) => {
            inference::convolve_by(conv, epilogue, weights, inputs, output)
        }
        (op, _) => inference::apply(&op, params, inputs, output),
    }
}
