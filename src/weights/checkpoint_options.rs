//! Settings of a network that its checkpoint does not show.

use crate::network::{Norm, NormKind, ResNet, ResNetBuilder, StrideIn};
use crate::op::PoolWindows;

/// Settings of a network that the shapes of its weights do not show.
/// [`NetworkWeights`](super::NetworkWeights) takes missing values from the model's configuration
/// ([`ModelConfig`](super::ModelConfig)). Values that are missing there too have torchvision's
/// defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckpointOptions {
    /// The prefix of every key of the network (`backbone.`; the last dot is optional); other keys
    /// are then ignored. `None`: the only one under which a whole network exists.
    pub prefix: Option<String>,
    /// The dict of a `.pth` file that is the state dict, as [`StateDict::open_key`] takes it.
    ///
    /// [`StateDict::open_key`]: super::StateDict::open_key
    pub key: Option<String>,
    /// The norm layer.
    pub norm: Option<NormKind>,
    /// Added to the variance by the norms.
    pub eps: Option<f64>,
    /// Which convolution of a Bottleneck has the stride.
    pub stride_in: Option<StrideIn>,
    /// The windows of the stem's max pool.
    pub max_pool: Option<PoolWindows>,
    /// As [`ResNetBuilder::replace_stride_with_dilation`][replace].
    ///
    /// [replace]: crate::network::ResNetBuilder::replace_stride_with_dilation
    pub replace_stride_with_dilation: Option<Vec<bool>>,
    /// As [`ResNetBuilder::multi_grid`](crate::network::ResNetBuilder::multi_grid).
    pub multi_grid: Option<Vec<usize>>,
}

impl CheckpointOptions {
    /// The options with which the state dict of this network is detected as this network.
    #[must_use]
    pub fn of_network(network: &ResNet) -> Self {
        Self {
            prefix: None,
            key: None,
            norm: Some(network.norm().kind()),
            eps: network.norm().eps(),
            stride_in: Some(network.stride_in()),
            max_pool: Some(network.stem().pool),
            replace_stride_with_dilation: Some(network.replaced_strides()),
            multi_grid: Some(network.multi_grid()),
        }
    }

    /// These options, with missing values taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            prefix: self.prefix.or(other.prefix),
            key: self.key.or(other.key),
            norm: self.norm.or(other.norm),
            eps: self.eps.or(other.eps),
            stride_in: self.stride_in.or(other.stride_in),
            max_pool: self.max_pool.or(other.max_pool),
            replace_stride_with_dilation: self
                .replace_stride_with_dilation
                .or(other.replace_stride_with_dilation),
            multi_grid: self.multi_grid.or(other.multi_grid),
        }
    }

    /// The norm layer with its eps. Defaults: BatchNorm2d, 1e-5.
    #[must_use]
    pub fn norm(&self) -> Norm {
        self.norm.unwrap_or_default().norm(self.eps)
    }

    /// Applies these options to a builder.
    pub fn apply(&self, builder: ResNetBuilder) -> ResNetBuilder {
        builder
            .norm_layer(self.norm())
            .stride_in(self.stride_in.unwrap_or_default())
            .max_pool(self.max_pool.unwrap_or_default())
            .replace_stride_with_dilation(
                self.replace_stride_with_dilation.clone().unwrap_or_default(),
            )
            .multi_grid(self.multi_grid.clone().unwrap_or_default())
    }
}
