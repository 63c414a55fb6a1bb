//! The shape of an image tensor; sizes are checked on construction.

use std::fmt;

use crate::error::ShapeError;

/// Batch, channels, height and width of a tensor, each at least 1, with a product that fits in
/// `isize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images in the batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows of pixels.
    pub h: usize,
    /// Pixels in a row.
    pub w: usize,
}

impl Shape {
    /// A shape from its dimensions in NCHW order.
    ///
    /// # Errors
    /// [`ShapeError::ZeroDim`] for a zero, [`ShapeError::Overflow`] if the bytes of such a tensor,
    /// with padded channels, do not fit in `isize`.
    pub fn new(n: usize, c: usize, h: usize, w: usize) -> Result<Self, ShapeError> {
        Self::named("tensor", &[n, c, h, w])
    }

    /// Like [`Shape::new`], from a slice that may come from a file; `tensor` is its name in errors.
    ///
    /// # Errors
    /// As [`Shape::new`], and [`ShapeError::Rank`] if the number of dimensions is not four.
    pub fn named(tensor: &str, dims: &[usize]) -> Result<Self, ShapeError> {
        let &[n, c, h, w] = dims else {
            return Err(ShapeError::Rank { tensor: tensor.to_owned(), dims: dims.to_vec() });
        };
        if dims.contains(&0) {
            return Err(ShapeError::ZeroDim { tensor: tensor.to_owned(), dims: dims.to_vec() });
        }
        // Padding grows the channels to at most four times as many; 16 bytes hold four f32.
        let bytes =
            [n, c, h, w, 16].iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        match bytes {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Self { n, c, h, w }),
            _ => Err(ShapeError::Overflow { tensor: tensor.to_owned(), dims: dims.to_vec() }),
        }
    }

    /// The dimensions in NCHW order.
    #[must_use]
    pub const fn dims(self) -> [usize; 4] {
        [self.n, self.c, self.h, self.w]
    }

    /// Values in the tensor; `usize::MAX` for a shape made without [`Shape::new`] whose product
    /// does not fit.
    #[must_use]
    pub const fn len(self) -> usize {
        self.pixels().saturating_mul(self.c)
    }

    /// Always false: no dimension is zero.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Pixels in the whole batch: the rows of the matrix of a 1x1 convolution. `usize::MAX` if the
    /// product does not fit.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.n.saturating_mul(self.h).saturating_mul(self.w)
    }

    /// Image, channel, row and column of the value at a flat NCHW index.
    #[must_use]
    pub const fn position(self, index: usize) -> [usize; 4] {
        let Self { c, h, w, .. } = self;
        [index / (w * h * c), index / (w * h) % c, index / w % h, index % w]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.n, self.c, self.h, self.w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_zero_and_overflow() {
        assert!(matches!(Shape::new(1, 0, 2, 2), Err(ShapeError::ZeroDim { .. })));
        assert!(matches!(Shape::new(usize::MAX, 2, 2, 2), Err(ShapeError::Overflow { .. })));
        assert!(matches!(
            Shape::new(1 << 20, 1 << 20, 1 << 20, 1),
            Err(ShapeError::Overflow { .. })
        ));
        assert!(matches!(Shape::named("input", &[1, 2]), Err(ShapeError::Rank { .. })));
        assert_eq!(Shape::new(2, 3, 5, 7).map(Shape::len), Ok(210));
        let wraps = Shape { n: 1, c: 4, h: 1 << 32, w: 1 << 32 };
        assert_eq!((wraps.pixels(), wraps.len()), (usize::MAX, usize::MAX));
    }
}
