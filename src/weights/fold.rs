//! Folds a norm into the preceding convolution, in f64, rounded to f32 once.

use crate::error::WeightsError;

/// A norm in eval mode as one multiply and add per channel, in f64.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affine {
    /// `gamma / sqrt(var + eps)`.
    pub scale: Vec<f64>,
    /// `beta - mean * scale`.
    pub shift: Vec<f64>,
}

impl Affine {
    /// The identity.
    pub fn identity(channels: usize) -> Self {
        Self { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

    /// Scale and shift in f32, for a separate step. `key` names the norm in errors.
    pub fn rounded(&self, key: &str) -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
        Ok((round(&self.scale, key)?, round(&self.shift, key)?))
    }
}

/// Convolution weights `[out, ...]` with each output channel multiplied by its scale.
pub(super) fn fold(weight: &[f32], affine: &Affine, key: &str) -> Result<Vec<f32>, WeightsError> {
    let per_channel = weight.len() / affine.scale.len();
    let scaled: Vec<f64> = weight
        .chunks_exact(per_channel)
        .zip(&affine.scale)
        .flat_map(|(weights, scale)| weights.iter().map(move |&weight| f64::from(weight) * scale))
        .collect();
    round(&scaled, key)
}

/// Values in f32.
///
/// # Errors
/// [`WeightsError::FoldOverflow`] for a value that f32 cannot hold.
pub(super) fn round(values: &[f64], key: &str) -> Result<Vec<f32>, WeightsError> {
    let rounded: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    match rounded.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            Err(WeightsError::FoldOverflow { tensor: key.to_owned(), index, value: values[index] })
        }
        None => Ok(rounded),
    }
}
