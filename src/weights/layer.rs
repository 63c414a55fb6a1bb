//! A convolution and the norm after it: folded for inference, or every tensor for training.

use super::fold::{self, Affine};
use super::values::Values;
use crate::error::WeightsError;

/// A convolution's weights and the norm after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    pub(super) norm_key: String,
    pub(super) weight: Values,
    pub(super) norm: Affine,
}

impl Layer {
    pub fn folded(&self) -> Result<Vec<f32>, WeightsError> {
        fold::fold(&self.weight.get()?, &self.norm, &self.weight.key)
    }
}

/// A norm's tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct NormTensors {
    /// Its keys' prefix in the state dict, without the last dot.
    pub key: String,
    /// Ones if the norm has no gamma.
    pub gamma: Vec<f32>,
    /// Zeros if the norm has no beta.
    pub beta: Vec<f32>,
    /// Whether gamma and beta are parameters.
    pub affine: bool,
    /// The running mean.
    pub running_mean: Vec<f32>,
    /// The running variance.
    pub running_var: Vec<f32>,
    /// Batches seen so far, if the norm counts them.
    pub num_batches_tracked: Option<i64>,
}

/// The tensors of a convolution and of the norm after it.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTensors {
    /// The key of the weights.
    pub key: String,
    /// Weights in OIHW order.
    pub weight: Vec<f32>,
    /// The norm; `None` for an identity.
    pub norm: Option<NormTensors>,
}
