//! The check that two tensors of an operation have the same shape.

use crate::error::ShapeError;
use crate::tensor::Shape;

/// Returns an error unless `found` is `expected`.
pub(super) fn same(tensor: &str, expected: Shape, found: Shape) -> Result<Shape, ShapeError> {
    if expected == found {
        return Ok(found);
    }
    let (expected, found) = (expected.dims().to_vec(), found.dims().to_vec());
    Err(ShapeError::Mismatch { tensor: tensor.to_owned(), expected, found })
}
