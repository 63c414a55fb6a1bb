//! A tensor of the reference.

use crate::tensor::Shape;

/// A tensor of the reference: NCHW, f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor64 {
    /// The shape.
    pub shape: Shape,
    /// The values in NCHW order.
    pub data: Vec<f64>,
}
