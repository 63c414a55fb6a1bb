//! Comparing a result with what it should be: one rule for every test and for `--verify`.

use std::fmt;

use super::{Element, HostTensor};

/// How far a result may be off, as a share of the largest expected value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The largest accepted |found - expected| / max |expected|.
    pub relative: f64,
    /// Whether NaN and infinities may spread, as NaN, to values that a direct computation would keep: where something that is expected is
    /// not finite, a NaN passes for a number.
    pub spreads: bool,
}

impl Tolerance {
    /// Equal to the bit, but that -0 equals 0.
    pub const EXACT: Self = Self::relative(0.0);

    /// A fixed share.
    #[must_use]
    pub const fn relative(relative: f64) -> Self {
        Self { relative, spreads: false }
    }

    /// What an algorithm that transforms its input and weights may be off: Winograd's, whose candidates are picked for it.
    pub const TRANSFORMED: Self = Self { relative: 1e-5, spreads: true };

    /// The wider of two.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        let relative = if self.relative > other.relative { self.relative } else { other.relative };
        Self { relative, spreads: self.spreads || other.spreads }
    }

    /// For a chain of so many steps that round their inputs' weights and their outputs to f16.
    ///
    /// A step's roundings, of its weights and of what it puts out, are off by at most a unit roundoff of each value, independently of one
    /// another, so that their sum over a chain grows like the root of its length; the factor 4 covers the spread between seeds and values that
    /// are larger on the way than at the end.
    #[must_use]
    pub fn for_half(steps: usize) -> Self {
        Self::relative(4.0 * Element::F16.unit_roundoff() * (steps as f64).sqrt())
    }

    /// For a chain of sums whose longest has `length` terms, accumulated in f32 from values of type `element`.
    ///
    /// The error of such a sum grows like sqrt(length) unit roundoffs (Higham, "Accuracy and Stability of Numerical
    /// Algorithms", 2002, section 2.8: the rule of thumb beside the worst case's `length`); the factor 8 covers the three
    /// sums of a block and the spread between seeds.
    #[must_use]
    pub fn for_sum(element: Element, length: usize) -> Self {
        Self::relative(8.0 * element.unit_roundoff() * (length as f64).sqrt())
    }
}

/// The first place where two tensors disagree beyond tolerance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mismatch {
    /// Image, channel, row and column.
    pub at: [usize; 4],
    /// The value that should be there.
    pub expected: f32,
    /// The value that is there.
    pub found: f32,
}

/// What [`compare`] saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The largest |found - expected| over finite values.
    pub max_abs_error: f64,
    /// The largest finite |expected|.
    pub largest_expected: f64,
    /// The tolerance that was applied.
    pub tolerance: Tolerance,
    /// The first mismatch, or `None` when all is well.
    pub mismatch: Option<Mismatch>,
}

impl Comparison {
    /// Whether every value is within tolerance.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.mismatch.is_none()
    }

    /// The largest error as a share of the largest expected value.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        if self.max_abs_error == 0.0 { 0.0 } else { self.max_abs_error / self.largest_expected }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "largest error {:.1e} of the largest value {:.3}", self.relative_error(), self.largest_expected)?;
        if let Some(Mismatch { at, expected, found }) = self.mismatch {
            let limit = self.tolerance.relative;
            write!(f, "; first beyond {limit:.1e} at {at:?}: expected {expected}, found {found}")?;
        }
        Ok(())
    }
}

/// Compares `found` with `expected`. NaNs and infinities must stand at the same positions, infinities with the same sign.
/// Tensors of different shapes mismatch at the origin.
#[must_use]
pub fn compare(expected: &HostTensor, found: &HostTensor, tolerance: Tolerance) -> Comparison {
    let spreads = tolerance.spreads && expected.data().iter().any(|value| !value.is_finite());
    compare_spread(expected, found, tolerance, |_| spreads)
}

/// [`compare`] where it is known how far NaN may spread: where `spreads` says so of a position (image, channel, row, column), a NaN
/// passes for whatever is expected. Nowhere may one vanish.
#[must_use]
pub fn compare_spread(
    expected: &HostTensor,
    found: &HostTensor,
    tolerance: Tolerance,
    spreads: impl Fn([usize; 4]) -> bool,
) -> Comparison {
    let finite = |values: &[f32]| {
        values.iter().filter(|v| v.is_finite()).fold(0.0f64, |largest, &v| largest.max(f64::from(v).abs()))
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
            e == f || (e.is_nan() && f.is_nan()) || (f.is_nan() && spreads(expected.shape().position(index)))
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
        assert!(compare(&expected, &tensor(&[1.0, f32::NAN, f32::INFINITY, 0.0])?, Tolerance::EXACT).passed());
        for wrong in
            [[1.0, 0.0, f32::INFINITY, 0.0], [1.0, f32::NAN, f32::NEG_INFINITY, 0.0], [1.0, f32::NAN, 9.0, 0.0]]
        {
            assert!(!compare(&expected, &tensor(&wrong)?, Tolerance::relative(1e9)).passed());
        }
        let spread = tensor(&[f32::NAN, f32::NAN, f32::NAN, 0.0])?;
        assert!(compare(&expected, &spread, Tolerance::TRANSFORMED).passed());
        assert!(!compare(&expected, &spread, Tolerance::relative(1.0)).passed());
        assert!(!compare(&tensor(&[1.0; 4])?, &spread, Tolerance::TRANSFORMED).passed());
        let vanished = tensor(&[1.0, 0.0, f32::NAN, 0.0])?;
        assert!(!compare(&expected, &vanished, Tolerance::TRANSFORMED).passed());
        let off = compare(&expected, &tensor(&[1.5, f32::NAN, f32::INFINITY, 0.0])?, Tolerance::relative(0.1));
        assert_eq!(off.mismatch.map(|m| m.at), Some([0, 0, 0, 0]));
        Ok(())
    }
}
