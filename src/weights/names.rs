//! Names of a ResNet's tensors: prefixes of wrappers, torchvision's and Hugging Face's names, and
//! the parts of other networks that a ResNet does not have.

/// The key prefix of an optimiser's state in training checkpoints.
pub const OPTIMIZER: &str = "optimizer.";

/// Prefixes that wrappers add to every key: `DataParallel`, training loops, feature extractors.
const WRAPPERS: [&str; 4] = ["module.", "backbone.", "model.", "encoder."];

/// The prefix that wrappers added to every one of these keys, e.g. `module.backbone.`; empty if
/// there is none. Keys without a dot belong to no module and are ignored.
pub(super) fn wrappers<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let keys: Vec<&str> = keys.filter(|key| key.contains('.')).collect();
    let Some(first) = keys.first() else { return String::new() };
    let mut length = 0;
    while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| first[length..].starts_with(**wrapper))
    {
        // Once a wrapper is off, a key without a dot is the wrapped module's own, and no ResNet has
        // one: not stripped.
        let inner = |key: &&str| {
            key[length..].strip_prefix(*wrapper).is_some_and(|rest| rest.contains('.'))
        };
        if !keys.iter().all(inner) {
            break;
        }
        length += wrapper.len();
    }
    first[..length].to_owned()
}

/// The naming convention of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Naming {
    /// torchvision's: `layer1.0.conv1.weight`.
    Torchvision,
    /// Hugging Face's `ResNetForImageClassification`:
    /// `resnet.encoder.stages.0.layers.0.layer.0.convolution.weight`, and the classifier next to
    /// it.
    HuggingFace,
    /// Hugging Face's `ResNetModel`: the same without the leading `resnet.`.
    HuggingFaceModel,
}

impl Naming {
    /// The naming of these keys, recognised by their stem.
    pub(super) fn of<'a>(mut keys: impl Iterator<Item = &'a str>) -> Self {
        let embedder = |key: &str| match key {
            _ if key.starts_with("resnet.embedder.") => Some(Self::HuggingFace),
            _ if key.starts_with("embedder.embedder.") => Some(Self::HuggingFaceModel),
            _ => None,
        };
        keys.find_map(embedder).unwrap_or(Self::Torchvision)
    }

    fn leading(self) -> &'static str {
        if self == Self::HuggingFace { "resnet." } else { "" }
    }

    /// A checkpoint's key for the tensor with this torchvision name: `layer1.0.bn2.bias` is
    /// `resnet.encoder.stages.0.layers.0.layer.1.normalization.bias`. `None` for a name that no
    /// ResNet has.
    #[must_use]
    pub fn key(self, name: &str) -> Option<String> {
        let (module, part) = name.rsplit_once('.')?;
        if self == Self::Torchvision {
            return Some(name.to_owned());
        }
        let leading = self.leading();
        let module = match module {
            "conv1" => format!("{leading}embedder.embedder.convolution"),
            "bn1" => format!("{leading}embedder.embedder.normalization"),
            // The first layer of Hugging Face's classifier flattens.
            "fc" => "classifier.1".to_owned(),
            _ => {
                let (stage, block, layer) = split(module)?;
                let layer = match layer {
                    "downsample.0" => "shortcut.convolution".to_owned(),
                    "downsample.1" => "shortcut.normalization".to_owned(),
                    _ => {
                        let (kind, index) = layer.split_at_checked(layer.len().checked_sub(1)?)?;
                        let kind = [("conv", "convolution"), ("bn", "normalization")]
                            .iter()
                            .find(|(k, _)| *k == kind)?;
                        format!("layer.{}.{}", number(index)?.checked_sub(1)?, kind.1)
                    }
                };
                format!("{leading}encoder.stages.{}.layers.{block}.{layer}", stage.checked_sub(1)?)
            }
        };
        Some(format!("{module}.{part}"))
    }

    /// torchvision's name for the tensor with this key in a checkpoint: the inverse of
    /// [`Naming::key`]. `None` for a key that does not follow this naming.
    #[must_use]
    pub fn name(self, key: &str) -> Option<String> {
        let (module, part) = key.rsplit_once('.')?;
        if self == Self::Torchvision {
            return Some(key.to_owned());
        }
        let module = match module.strip_prefix(self.leading()) {
            _ if module == "classifier.1" => "fc".to_owned(),
            Some("embedder.embedder.convolution") => "conv1".to_owned(),
            Some("embedder.embedder.normalization") => "bn1".to_owned(),
            Some(inner) => hugging_face_layer(inner)?,
            None => return None,
        };
        Some(format!("{module}.{part}"))
    }
}

/// `encoder.stages.0.layers.0.layer.1.convolution` is `layer1.0.conv2`.
fn hugging_face_layer(module: &str) -> Option<String> {
    let (stage, rest) = module.strip_prefix("encoder.stages.")?.split_once(".layers.")?;
    let (block, layer) = rest.split_once('.')?;
    let layer = match layer {
        "shortcut.convolution" => "downsample.0".to_owned(),
        "shortcut.normalization" => "downsample.1".to_owned(),
        _ => {
            let (index, kind) = layer.strip_prefix("layer.")?.split_once('.')?;
            // One digit, so that the way back finds it.
            let index = number(index).filter(|index| *index < 9)? + 1;
            match kind {
                "convolution" => format!("conv{index}"),
                "normalization" => format!("bn{index}"),
                _ => return None,
            }
        }
    };
    Some(format!("layer{}.{}.{layer}", number(stage)?.checked_add(1)?, number(block)?))
}

/// `layer3.5.downsample.0` as stage 3, block 5 and `downsample.0`.
pub(super) fn split(name: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
    let (block, layer) = rest.split_once('.')?;
    Some((number(stage)?, number(block)?, layer))
}

/// A number as PyTorch writes it: no sign, no leading zero.
fn number(text: &str) -> Option<usize> {
    let value: usize = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// The kind of a part that other networks have and a ResNet does not, from a tensor name in
/// torchvision's style.
pub(super) fn foreign_part(name: &str, dims: &[usize]) -> Option<&'static str> {
    let segments: Vec<&str> = name.split('.').collect();
    let has = |names: &[&str]| segments.iter().any(|segment| names.contains(segment));
    let digit = |at: usize| segments.get(at).is_some_and(|segment| number(segment).is_some());
    let layer = split(name).map_or("", |(_, _, layer)| layer);
    let shortcut = Some(layer).filter(|layer| layer.starts_with("downsample."));
    match shortcut {
        _ if has(&["se", "se_module", "se_layer"]) => Some("a squeeze-and-excitation layer"),
        _ if has(&["attn", "attention", "eca", "cbam", "non_local"]) => Some("an attention layer"),
        _ if has(&["aa", "filt"]) => Some("an anti-aliasing filter (BlurPool)"),
        _ if has(&["convs", "bns"]) => Some("a block of several scales (Res2Net)"),
        _ if has(&["conv2_offset", "conv_offset"]) => Some("a deformable convolution"),
        _ if ["conv1", "stem"].contains(&segments[0]) && digit(1) => Some("a deep stem (ResNet-D)"),
        _ if layer.starts_with("conv2.") && segments.len() > 4 => {
            Some("a convolution of several parts (ResNeSt, SKNet)")
        }
        Some("downsample.1.weight") if dims.len() == 4 => Some("an averaged shortcut (ResNet-D)"),
        Some("downsample.0.weight") if dims.len() == 4 && dims[2..] != [1, 1] => {
            Some("a shortcut that is not 1x1")
        }
        Some(layer) if number(layer.split('.').nth(1)?).is_some_and(|index| index > 1) => {
            Some("a shortcut of more than two layers")
        }
        _ if segments.iter().rev().nth(1).is_some_and(|module| module.starts_with("conv"))
            && name.ends_with(".bias") =>
        {
            Some("the bias of a convolution")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hugging_face_names_go_both_ways() {
        let pairs = [
            ("conv1.weight", "resnet.embedder.embedder.convolution.weight"),
            ("bn1.running_var", "resnet.embedder.embedder.normalization.running_var"),
            (
                "layer1.0.conv1.weight",
                "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight",
            ),
            (
                "layer3.22.bn3.num_batches_tracked",
                "resnet.encoder.stages.2.layers.22.layer.2.normalization.num_batches_tracked",
            ),
            (
                "layer2.0.downsample.0.weight",
                "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight",
            ),
            (
                "layer2.0.downsample.1.bias",
                "resnet.encoder.stages.1.layers.0.shortcut.normalization.bias",
            ),
            ("fc.weight", "classifier.1.weight"),
        ];
        for (name, key) in pairs {
            assert_eq!(Naming::HuggingFace.key(name).as_deref(), Some(key));
            assert_eq!(Naming::HuggingFace.name(key).as_deref(), Some(name));
            let key = key.strip_prefix("resnet.").unwrap_or(key);
            assert_eq!(Naming::HuggingFaceModel.key(name).as_deref(), Some(key));
            assert_eq!(Naming::HuggingFaceModel.name(key).as_deref(), Some(name));
            assert_eq!(Naming::Torchvision.key(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn other_keys_have_no_name() {
        for key in [
            "resnet.encoder.stages.00.layers.0.layer.0.convolution.weight",
            "resnet.encoder.stages.0.layers.0.layer.9.convolution.weight",
            "resnet.encoder.stages.18446744073709551615.layers.0.layer.0.convolution.weight",
            "resnet.encoder.stages.0.layers.0.layer.0.attention.weight",
            "encoder.stages.0.layers.0.layer.0.convolution.weight",
            "classifier.0.weight",
            "resnet",
        ] {
            assert_eq!(Naming::HuggingFace.name(key), None, "{key}");
        }
        for name in [
            "layer0.0.conv1.weight",
            "layer1.0.conv0.weight",
            "layer1.0..weight",
            "layer1.0.conv\u{e9}.weight",
            "x",
        ] {
            assert_eq!(Naming::HuggingFace.key(name), None, "{name}");
        }
    }

    #[test]
    fn wrappers_are_found_where_every_key_has_them() {
        let of = |keys: &[&str]| wrappers(keys.iter().copied());
        assert_eq!(
            of(&["module.backbone.conv1.weight", "module.backbone.fc.bias"]),
            "module.backbone."
        );
        assert_eq!(
            of(&["model.model.conv1.weight", "model.model.fc.bias", "input"]),
            "model.model."
        );
        assert_eq!(of(&["backbone.conv1.weight", "classifier.0.weight"]), "");
        assert_eq!(
            of(&[
                "encoder.stages.0.layers.0.layer.0.convolution.weight",
                "embedder.embedder.convolution.weight"
            ]),
            ""
        );
        assert_eq!(of(&["module.conv1.weight", "module.temperature"]), "");
        assert_eq!(of(&["conv1.weight"]), "");
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn foreign_parts_have_names() {
        let part = |name: &str, dims: &[usize]| foreign_part(name, dims).unwrap_or_default();
        assert!(part("layer1.0.se.fc1.weight", &[8, 64, 1, 1]).contains("squeeze"));
        assert!(part("layer1.0.se_module.fc1.weight", &[8, 64, 1, 1]).contains("squeeze"));
        assert!(part("conv1.0.weight", &[32, 3, 3, 3]).contains("deep stem"));
        assert!(part("stem.0.weight", &[32, 3, 3, 3]).contains("deep stem"));
        assert!(part("layer2.0.aa.filt", &[128, 1, 3, 3]).contains("anti-aliasing"));
        assert!(part("layer2.0.downsample.1.weight", &[512, 256, 1, 1]).contains("averaged"));
        assert!(part("layer2.0.downsample.0.weight", &[512, 256, 3, 3]).contains("not 1x1"));
        assert!(part("layer2.0.downsample.2.weight", &[512]).contains("more than two"));
        assert!(part("layer2.0.convs.0.weight", &[26, 26, 3, 3]).contains("Res2Net"));
        assert!(part("layer2.0.conv2.fc1.weight", &[26, 26, 1, 1]).contains("ResNeSt"));
        assert!(part("layer2.0.conv2_offset.weight", &[18, 64, 3, 3]).contains("deformable"));
        assert!(part("layer2.0.conv2.bias", &[64]).contains("bias"));
        assert!(part("conv1.bias", &[64]).contains("bias"));
        for name in [
            "conv1.weight",
            "bn1.bias",
            "layer1.0.conv2.weight",
            "layer1.0.bn2.bias",
            "fc.bias",
            "x",
        ] {
            assert_eq!(part(name, &[1]), "", "{name}");
        }
        assert_eq!(part("layer2.0.downsample.0.weight", &[512, 256, 1, 1]), "");
        assert_eq!(part("layer2.0.downsample.1.weight", &[512]), "");
    }
}
