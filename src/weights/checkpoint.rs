//! Finds the network of a checkpoint, and the key of each of its tensors.

use std::collections::BTreeMap;

use super::detect::Tensors;
use super::{Naming, StateDict};
use crate::error::{Result, WeightsError};
use crate::network::{Norm, NormKind, ResNet, ResNetBuilder, StrideIn};
use crate::op::PoolWindows;

/// Anything with keys and shapes; enough to detect the network of a checkpoint.
pub trait Shapes {
    /// Every key.
    fn keys(&self) -> impl Iterator<Item = &str>;

    /// The dimensions of a tensor, or `None` if there is no such key.
    fn dims(&self, key: &str) -> Option<&[usize]>;
}

impl Shapes for StateDict {
    fn keys(&self) -> impl Iterator<Item = &str> {
        StateDict::keys(self)
    }

    fn dims(&self, key: &str) -> Option<&[usize]> {
        StateDict::dims(self, key)
    }
}

impl Shapes for BTreeMap<String, Vec<usize>> {
    fn keys(&self) -> impl Iterator<Item = &str> {
        BTreeMap::keys(self).map(String::as_str)
    }

    fn dims(&self, key: &str) -> Option<&[usize]> {
        self.get(key).map(Vec::as_slice)
    }
}

/// Settings of a network that the shapes of its weights do not show.
/// [`NetworkWeights`](super::NetworkWeights) takes missing values from the model's configuration
/// ([`ModelConfig`](super::ModelConfig)). Values that are missing there too have torchvision's
/// defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckpointOptions {
    /// The prefix of every key of the network (`backbone.`; the last dot is optional); other keys
    /// are then ignored. `None`: the prefix that common wrappers add to all keys, if any.
    pub prefix: Option<String>,
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

/// A network found in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    network: ResNet,
    prefix: String,
    naming: Naming,
    keys: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Detects the network of a checkpoint: depths, widths, groups, classes and block kind from the
    /// shapes, strides and dilations from the options. Names may be torchvision's or Hugging
    /// Face's. Keys without a dot are ignored, and `num_batches_tracked` is optional.
    ///
    /// # Errors
    /// [`WeightsError::ForeignPart`] for a part that a ResNet does not have;
    /// [`WeightsError::Missing`] and [`WeightsError::Shape`] for tensors that are needed for the
    /// detection; [`WeightsError::Network`] if the other tensors do not fit the detected network; a
    /// [`SpecError`](crate::error::SpecError) if such a network is invalid.
    pub fn detect(dict: &impl Shapes, options: &CheckpointOptions) -> Result<Self> {
        let tensors = Tensors::new(dict, options.prefix.as_deref())?;
        let network = tensors.network(options)?;
        Ok(Self::of(tensors, network)?)
    }

    /// The keys of a known network.
    ///
    /// # Errors
    /// [`WeightsError::ForeignPart`], and [`WeightsError::Network`], which lists the differences
    /// and, if the checkpoint contains another network, names it.
    pub fn matching(dict: &impl Shapes, network: &ResNet, prefix: Option<&str>) -> Result<Self> {
        let tensors = Tensors::new(dict, prefix)?;
        Ok(Self::of(tensors, network.clone())?)
    }

    fn of(tensors: Tensors<'_>, network: ResNet) -> Result<Self, WeightsError> {
        let mut differences = tensors.differences(&network);
        if !differences.is_empty() {
            differences.looks_like = tensors.looks_like(network.norm());
            return Err(WeightsError::Network {
                network: network.to_string(),
                differences: Box::new(differences),
            });
        }
        let keys =
            tensors.named.into_iter().map(|(name, (key, _))| (name, key.to_owned())).collect();
        Ok(Self { network, prefix: tensors.prefix, naming: tensors.naming, keys })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &ResNet {
        &self.network
    }

    /// The prefix of all its keys, including wrappers; empty, or ending in a dot.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The naming convention of its keys.
    #[must_use]
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// The checkpoint's key for a tensor by torchvision's name (`layer1.0.conv1.weight`), or `None`
    /// if there is none.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.get(name).map(String::as_str)
    }

    /// Every tensor as torchvision's name and the checkpoint's key, in the order of the names.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|(name, key)| (name.as_str(), key.as_str()))
    }
}
