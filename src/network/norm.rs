//! The norm layers of a block.

use crate::error::SpecError;

/// PyTorch's default eps of BatchNorm2d.
const DEFAULT_EPS: f64 = 1e-5;

/// `norm_layer`: the layer after each convolution of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Norm {
    /// `torch.nn.BatchNorm2d` in eval mode: `(x - mean) / sqrt(var + eps) * gamma + beta`.
    BatchNorm2d {
        /// Added to the variance; finite and not negative.
        eps: f64,
    },
    /// `torchvision.ops.FrozenBatchNorm2d`: the same arithmetic in eval mode, without
    /// `num_batches_tracked`.
    FrozenBatchNorm2d {
        /// Added to the variance; finite and not negative.
        eps: f64,
    },
    /// `torch.nn.Identity`: no norm, no keys.
    Identity,
}

/// The kind of a norm layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum NormKind {
    /// `torch.nn.BatchNorm2d`.
    #[default]
    BatchNorm2d,
    /// `torchvision.ops.FrozenBatchNorm2d`.
    FrozenBatchNorm2d,
    /// `torch.nn.Identity`.
    Identity,
}

impl NormKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::BatchNorm2d, Self::FrozenBatchNorm2d, Self::Identity];

    /// Its name in PyTorch.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BatchNorm2d => "BatchNorm2d",
            Self::FrozenBatchNorm2d => "FrozenBatchNorm2d",
            Self::Identity => "Identity",
        }
    }

    /// The norm layer with this eps (default: PyTorch's 1e-5). Identity has no eps.
    #[must_use]
    pub fn norm(self, eps: Option<f64>) -> Norm {
        let eps = eps.unwrap_or(DEFAULT_EPS);
        match self {
            Self::BatchNorm2d => Norm::BatchNorm2d { eps },
            Self::FrozenBatchNorm2d => Norm::FrozenBatchNorm2d { eps },
            Self::Identity => Norm::Identity,
        }
    }
}

impl Default for Norm {
    /// BatchNorm2d with PyTorch's eps of 1e-5.
    fn default() -> Self {
        Self::BatchNorm2d { eps: DEFAULT_EPS }
    }
}

impl Norm {
    /// A norm by its name in PyTorch (`BatchNorm2d`, `FrozenBatchNorm2d`, `Identity`), with this
    /// eps.
    ///
    /// # Errors
    /// [`SpecError::UnsupportedNorm`] with the name, for any other.
    pub fn from_name(name: &str, eps: f64) -> Result<Self, SpecError> {
        let kind = NormKind::ALL.into_iter().find(|kind| kind.name() == name);
        let unsupported = || SpecError::UnsupportedNorm { name: name.to_owned() };
        Ok(kind.ok_or_else(unsupported)?.norm(Some(eps)))
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> NormKind {
        match self {
            Self::BatchNorm2d { .. } => NormKind::BatchNorm2d,
            Self::FrozenBatchNorm2d { .. } => NormKind::FrozenBatchNorm2d,
            Self::Identity => NormKind::Identity,
        }
    }

    /// Its name in PyTorch.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.kind().name()
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
