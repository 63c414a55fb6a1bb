//! Limits for the parameters of every block.

use super::Norm;
use crate::error::SpecError;
use crate::op::Conv;

/// The largest stride, dilation or number of channels. Sums of two of them, and of one with an
/// image side, fit in 32 bits.
pub(super) const LIMIT: usize = Conv::MAX_STEP;

/// Rejects a parameter that is zero or above [`LIMIT`].
pub(super) fn check_size(parameter: &'static str, value: usize) -> Result<(), SpecError> {
    check_at_most(parameter, value, LIMIT)
}

/// As [`check_size`], for each.
pub(super) fn check_sizes(sizes: &[(&'static str, usize)]) -> Result<(), SpecError> {
    sizes.iter().try_for_each(|&(parameter, value)| check_size(parameter, value))
}

/// Rejects a parameter that is zero or above this limit.
pub(super) fn check_at_most(
    parameter: &'static str,
    value: usize,
    limit: usize,
) -> Result<(), SpecError> {
    match value {
        0 => Err(SpecError::Zero { parameter }),
        _ if value > limit => Err(SpecError::TooLarge { parameter, value, limit }),
        _ => Ok(()),
    }
}

/// Rejects an eps that is negative, NaN or infinite.
pub(super) fn check_eps(norm: Norm) -> Result<(), SpecError> {
    match norm.eps() {
        Some(eps) if !(eps.is_finite() && eps >= 0.0) => Err(SpecError::Eps { eps }),
        _ => Ok(()),
    }
}
