//! Compares a result with the expected one: one rule for every test and for `--verify`.

use std::fmt;

use super::{DType, HostTensor};

/// The accepted error, relative to the largest expected value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The largest accepted |found - expected| / max |expected|.
    pub relative: f64,
    /// Whether NaN and infinities may spread, as NaN, to values that are finite in a direct
    /// computation: if any expected value is not finite, a NaN is accepted instead of a number.
    pub spreads: bool,
}

impl Tolerance {
    /// Bit-identical, except that -0 equals 0.
    pub const EXACT: Self = Self::relative(0.0);

    /// A fixed relative error.
    #[must_use]
    pub const fn relative(relative: f64) -> Self {
        Self { relative, spreads: false }
    }

    /// For algorithms that transform their input and weights. Winograd kernels are candidates only
    /// where they meet it.
    pub const TRANSFORMED: Self = Self { relative: 1e-5, spreads: true };

    /// The wider of two tolerances.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        let relative = if self.relative > other.relative { self.relative } else { other.relative };
        Self { relative, spreads: self.spreads || other.spreads }
    }

    /// For a chain of this many steps that round their weights and outputs to f16.
    ///
    /// Each rounding of a weight or an output is off by at most one unit roundoff of the value. The
    /// roundings are independent, so their sum over a chain grows like the square root of its
    /// length. The factor 4 covers the variation between seeds, and intermediate values that are
    /// larger than the final ones.
    #[must_use]
    pub fn for_half(steps: usize) -> Self {
        Self::relative(4.0 * DType::F16.unit_roundoff() * (steps as f64).sqrt())
    }

    /// For a chain of sums, the longest of which has `length` terms, accumulated in f32 from values
    /// of type `dtype`.
    ///
    /// The error of such a sum grows like sqrt(length) unit roundoffs (Higham, "Accuracy and
    /// Stability of Numerical Algorithms", 2002, section 2.8: the rule of thumb, compared with
    /// `length` in the worst case). The factor 8 covers the three sums of a block and the
    /// variation between seeds.
    #[must_use]
    pub fn for_sum(dtype: DType, length: usize) -> Self {
        Self::relative(8.0 * dtype.unit_roundoff() * (length as f64).sqrt())
    }
}

/// The first position where two tensors differ by more than the tolerance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mismatch {
    /// Image, channel, row and column.
    pub at: [usize; 4],
    /// The expected value.
    pub expected: f32,
    /// The value found.
    pub found: f32,
}

/// The result of [`compare`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The largest |found - expected| over finite values.
    pub max_abs_error: f64,
    /// The largest finite |expected|.
    pub largest_expected: f64,
    /// The tolerance that was applied.
    pub tolerance: Tolerance,
    /// The first mismatch, or `None` if there is none.
    pub mismatch: Option<Mismatch>,
}

impl Comparison {
    /// Whether every value is within tolerance.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.mismatch.is_none()
    }

    /// The largest error relative to the largest expected value.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        if self.max_abs_error == 0.0 { 0.0 } else { self.max_abs_error / self.largest_expected }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "largest error {:.1e} of the largest value {:.3}",
            self.relative_error(),
            self.largest_expected
        )?;
        if let Some(Mismatch { at, expected, found }) = self.mismatch {
            let limit = self.tolerance.relative;
            write!(f, "; first beyond {limit:.1e} at {at:?}: expected {expected}, found {found}")?;
        }
        Ok(())
    }
}

/// Compares `found` with `expected`. NaNs and infinities must be at the same positions, infinities
/// with the same sign. Tensors of different shapes mismatch at the origin.
#[must_use]
pub fn compare(expected: &HostTensor, found: &HostTensor, tolerance: Tolerance) -> Comparison {
    let spreads = tolerance.spreads && expected.data().iter().any(|value| !value.is_finite());
    compare_spread(expected, found, tolerance, |_| spreads)
}

/// [`compare`] with a known spread of NaN: at a position (image, channel, row, column) where
/// `spreads` returns true, a NaN is accepted for any expected value. An expected NaN must always be
/// found.
#[must_use]
pub fn compare_spread(
    expected: &HostTensor,
    found: &HostTensor,
    tolerance: Tolerance,
    spreads: impl Fn([usize; 4]) -> bool,
) -> Comparison {
    let finite = |values: &[f32]| {
        values
            .iter()
            .filter(|v| v.is_finite())
            .fold(0.0f64, |largest, &v| largest.max(f64::from(v).abs()))
    };
    let largest_expected = finite(expected.data());
    let mut result = Comparison { max_abs_error: 0.0, largest_expected, tolerance, mismatch: None };
    if expected.shape() != found.shape() {
        let (expected, found) = (expected.data()[0], found.data()[0]);
        result.mismatch = Some(Mismatch { at: [0; 4], expected, found });
        return result;
    }
    let bound = tolerance.relative * largest_expected;
    for (index, (&e, &f)) in expected.data().iter().zip(found.data()).enumerate() {
        let good = if e.is_finite() && f.is_finite() {
            let error = (f64::from(f) - f64::from(e)).abs();
            result.max_abs_error = result.max_abs_error.max(error);
            error <= bound
        } else {
            e == f
                || (e.is_nan() && f.is_nan())
                || (f.is_nan() && spreads(expected.shape().position(index)))
        };
        if !good && result.mismatch.is_none() {
            let at = expected.shape().position(index);
            result.mismatch = Some(Mismatch { at, expected: e, found: f });
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;

    fn tensor(values: &[f32]) -> Result<HostTensor, crate::error::ShapeError> {
        HostTensor::new(Shape::new(1, 1, 1, values.len())?, values.to_vec())
    }

    #[test]
    fn nan_and_infinity_need_their_places() -> Result<(), crate::error::ShapeError> {
        let expected = tensor(&[1.0, f32::NAN, f32::INFINITY, -0.0])?;
        assert!(
            compare(&expected, &tensor(&[1.0, f32::NAN, f32::INFINITY, 0.0])?, Tolerance::EXACT)
                .passed()
        );
        for wrong in [
            [1.0, 0.0, f32::INFINITY, 0.0],
            [1.0, f32::NAN, f32::NEG_INFINITY, 0.0],
            [1.0, f32::NAN, 9.0, 0.0],
        ] {
            assert!(!compare(&expected, &tensor(&wrong)?, Tolerance::relative(1e9)).passed());
        }
        let propagated = tensor(&[f32::NAN, f32::NAN, f32::NAN, 0.0])?;
        assert!(compare(&expected, &propagated, Tolerance::TRANSFORMED).passed());
        assert!(!compare(&expected, &propagated, Tolerance::relative(1.0)).passed());
        assert!(!compare(&tensor(&[1.0; 4])?, &propagated, Tolerance::TRANSFORMED).passed());
        let vanished = tensor(&[1.0, 0.0, f32::NAN, 0.0])?;
        assert!(!compare(&expected, &vanished, Tolerance::TRANSFORMED).passed());
        let off = compare(
            &expected,
            &tensor(&[1.5, f32::NAN, f32::INFINITY, 0.0])?,
            Tolerance::relative(0.1),
        );
        assert_eq!(off.mismatch.map(|m| m.at), Some([0, 0, 0, 0]));
        Ok(())
    }
}
