//! Finds the networks of a checkpoint: the prefixes under which a ResNet's tensors lie.

use super::Shapes;
use super::names::{Naming, OPTIMIZER};

/// The first weight of every ResNet's blocks.
const BLOCK: &str = "layer1.0.conv1.weight";
/// The first weight of every ResNet.
const STEM: &str = "conv1.weight";

/// Words in the names of averages of weights.
const AVERAGES: [&str; 6] = ["ema", "averaged", "average", "avg", "swa", "shadow"];

/// Where a network may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The prefix of its keys: empty, or ending in a dot.
    pub prefix: String,
    pub naming: Naming,
}

impl Place {
    /// The key of a tensor by torchvision's name.
    pub fn key(&self, name: &str) -> String {
        format!("{}{}", self.prefix, self.naming.key(name).unwrap_or_else(|| name.to_owned()))
    }
}

/// Every place with the first block of a network, in the order of the keys.
pub(super) fn places(dict: &impl Shapes) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for key in dict.keys().filter(|key| !key.starts_with(OPTIMIZER)) {
        let place = Naming::ALL.into_iter().find_map(|naming| {
            let prefix = key.strip_suffix(&naming.key(BLOCK)?)?;
            let place = Place { prefix: prefix.to_owned(), naming };
            is_place(dict, &place).then_some(place)
        });
        found.extend(place);
    }
    found
}

fn is_place(dict: &impl Shapes, place: &Place) -> bool {
    let Place { prefix, naming } = place;
    let has = |name: &str| dict.dims(&format!("{prefix}{name}")).is_some();
    let has_stem = || place.naming.key(STEM).is_some_and(|key| has(&key));
    let of_shortcuts = || {
        let mut keys = dict.keys().filter_map(|key| key.strip_prefix(prefix.as_str()));
        keys.any(|key| key.starts_with("layer") && key.contains(".shortcut.0."))
    };
    (prefix.is_empty() || prefix.ends_with('.'))
        && match naming {
            Naming::Torchvision => !of_shortcuts(),
            Naming::Shortcut => of_shortcuts(),
            // With the leading `resnet.` it is the other one.
            Naming::HuggingFaceModel => {
                has_stem() && prefix != "resnet." && !prefix.ends_with(".resnet.")
            }
            // `layer2` of a stem without a pool is where `layer1` of one with a pool is.
            Naming::Sequential => has_stem() && !has("3.0.conv1.weight"),
            Naming::HuggingFace | Naming::SequentialWithoutPool | Naming::Detectron2 => has_stem(),
        }
}

/// Whether a name, of a dict or the prefix of keys, is that of an average of weights.
pub(super) fn is_average(name: &str) -> bool {
    let mut words = name.split(['.', '_']);
    words.any(|word| AVERAGES.contains(&word.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found(keys: &[&str]) -> Vec<(String, Naming)> {
        let dict: BTreeMap<String, Vec<usize>> =
            keys.iter().map(|key| ((*key).to_owned(), vec![1, 1, 1, 1])).collect();
        places(&dict).into_iter().map(|place| (place.prefix, place.naming)).collect()
    }

    #[test]
    fn places_are_where_the_first_block_is() {
        let one = |keys: &[&str], prefix: &str, naming: Naming| {
            assert_eq!(found(keys), [(prefix.to_owned(), naming)], "{keys:?}");
        };
        one(&["layer1.0.conv1.weight", "layer4.0.conv1.weight"], "", Naming::Torchvision);
        one(&["a.b.layer1.0.conv1.weight"], "a.b.", Naming::Torchvision);
        one(&["layer1.0.conv1.weight", "layer2.0.shortcut.0.weight"], "", Naming::Shortcut);
        one(&["x.0.weight", "x.4.0.conv1.weight"], "x.", Naming::Sequential);
        one(
            &["0.weight", "3.0.conv1.weight", "4.0.conv1.weight"],
            "",
            Naming::SequentialWithoutPool,
        );
        one(&["m.stem.conv1.weight", "m.res2.0.conv1.weight"], "m.", Naming::Detectron2);
        let embedder = "embedder.embedder.convolution.weight";
        let layer = "encoder.stages.0.layers.0.layer.0.convolution.weight";
        one(&[embedder, layer], "", Naming::HuggingFaceModel);
        let leading = [embedder, layer].map(|key| format!("a.resnet.{key}"));
        one(&[&leading[0], &leading[1]], "a.", Naming::HuggingFace);
        assert_eq!(found(&["4.0.conv1.weight", "optimizer.layer1.0.conv1.weight"]), []);
        assert_eq!(found(&["xlayer1.0.conv1.weight"]), []);
    }

    #[test]
    fn averages_have_their_word() {
        for name in ["state_dict_ema", "model_ema", "ema.module.", "averaged_model.", "swa_model"] {
            assert!(is_average(name), "{name}");
        }
        for name in ["schema", "momentum_encoder.", "teacher", "state_dict"] {
            assert!(!is_average(name), "{name}");
        }
    }
}
