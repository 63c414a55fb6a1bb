//! The norm layers of a block.

use crate::error::SpecError;

/// PyTorch's default eps of BatchNorm2d.
const DEFAULT_EPS: f64 = 1e-5;

/// `norm_layer`: the layer behind each convolution of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Norm {
    /// `torch.nn.BatchNorm2d` in eval mode: `(x - mean) / sqrt(var + eps) * gamma + beta`.
    BatchNorm2d {
        /// Added to the variance; finite and not negative.
        eps: f64,
    },
    /// `torchvision.ops.FrozenBatchNorm2d`: the same numbers in eval mode, without `num_batches_tracked`.
    FrozenBatchNorm2d {
        /// Added to the variance; finite and not negative.
        eps: f64,
    },
    /// `torch.nn.Identity`: no norm, no keys.
    Identity,
}

impl Default for Norm {
    /// BatchNorm2d with PyTorch's eps of 1e-5.
    fn default() -> Self {
        Self::BatchNorm2d { eps: DEFAULT_EPS }
    }
}

impl Norm {
    /// A norm by its name in PyTorch (`BatchNorm2d`, `FrozenBatchNorm2d`, `Identity`), with this eps.
    ///
    /// # Errors
    /// [`SpecError::UnsupportedNorm`] with the name, for any other.
    pub fn from_name(name: &str, eps: f64) -> Result<Self, SpecError> {
        match name {
            "BatchNorm2d" => Ok(Self::BatchNorm2d { eps }),
            "FrozenBatchNorm2d" => Ok(Self::FrozenBatchNorm2d { eps }),
            "Identity" => Ok(Self::Identity),
            _ => Err(SpecError::UnsupportedNorm { name: name.to_owned() }),
        }
    }

    /// Its name in PyTorch.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BatchNorm2d { .. } => "BatchNorm2d",
            Self::FrozenBatchNorm2d { .. } => "FrozenBatchNorm2d",
            Self::Identity => "Identity",
        }
    }

    /// Its eps, or `None` for [`Norm::Identity`].
    #[must_use]
    pub const fn eps(self) -> Option<f64> {
        match self {
            Self::BatchNorm2d { eps } | Self::FrozenBatchNorm2d { eps } => Some(eps),
            Self::Identity => None,
        }
    }
}
