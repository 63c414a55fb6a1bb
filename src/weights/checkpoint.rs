//! Finds the network of a checkpoint, and the key of each of its tensors.

use std::collections::BTreeMap;

use super::detect::Tensors;
use super::{CheckpointOptions, Naming, Shapes};
use crate::error::{Result, WeightsError};
use crate::network::ResNet;

/// A network found in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    network: ResNet,
    prefix: String,
    naming: Naming,
    keys: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Detects the network of a checkpoint. Depths, widths, groups, classes and block kind come
    /// from the shapes, strides and dilations from the options. Names may be torchvision's or
    /// Hugging Face's. Keys without a dot are ignored, and `num_batches_tracked` is optional.
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
    /// [`WeightsError::ForeignPart`]; [`WeightsError::Network`], which lists the differences and
    /// names the network that the checkpoint contains, if it is another one.
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
