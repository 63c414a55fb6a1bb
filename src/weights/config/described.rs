//! The part of a configuration that the shapes of the weights show too. If the two differ, the
//! configuration belongs to another network.

use serde_json::{Value, json};

use crate::error::WeightsError;
use crate::network::{BlockKind, ResNet, VARIANTS};

/// The network that a configuration describes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Described {
    pub config: String,
    /// Its name in timm.
    pub name: Option<String>,
    pub is_hugging_face: bool,
    /// transformers' `layer_type`, `depths` and `hidden_sizes`.
    pub shape: [Option<Value>; 3],
}

impl Described {
    /// # Errors
    /// [`WeightsError::OtherNetwork`] if the weights belong to another network.
    pub fn check(&self, network: &ResNet) -> Result<(), WeightsError> {
        let refuse = |key: &str, found: String| {
            let (config, key, network) = (self.config.clone(), key.to_owned(), network.to_string());
            Err(WeightsError::OtherNetwork { config, key, found, network })
        };
        if let Some(name) = &self.name
            && VARIANTS.iter().any(|variant| variant.name == name)
            && network.variant().is_none_or(|variant| variant.name != name)
        {
            return refuse("architecture", format!("{name:?}"));
        }
        if !self.is_hugging_face {
            return Ok(());
        }
        let expansion = network.kind().expansion();
        let layers = if network.kind() == BlockKind::Basic { "basic" } else { "bottleneck" };
        let written: Vec<usize> =
            network.planes().iter().map(|planes| planes * expansion).collect();
        let expected = [json!(layers), json!(network.depths()), json!(written)];
        for ((key, found), expected) in
            ["layer_type", "depths", "hidden_sizes"].iter().zip(&self.shape).zip(&expected)
        {
            if let Some(found) =
                found.as_ref().filter(|found| !found.is_null() && *found != expected)
            {
                return refuse(key, found.to_string());
            }
        }
        Ok(())
    }
}
