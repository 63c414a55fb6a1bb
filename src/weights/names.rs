//! Names of a ResNet's tensors in the conventions of the libraries that write checkpoints.

/// The key prefix of an optimiser's state in training checkpoints.
pub const OPTIMIZER: &str = "optimizer.";

/// The naming convention of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Naming {
    /// torchvision's and timm's: `layer1.0.conv1.weight`.
    Torchvision,
    /// Hugging Face's `ResNetForImageClassification`:
    /// `resnet.encoder.stages.0.layers.0.layer.0.convolution.weight`, and the classifier next to
    /// it.
    HuggingFace,
    /// Hugging Face's `ResNetModel`: the same without the leading `resnet.`.
    HuggingFaceModel,
    /// `nn.Sequential(*resnet.children())`: `0.weight`, `1.running_mean`, `4.0.conv1.weight`.
    Sequential,
    /// The same for a stem without a max pool, where `layer1` is child 3.
    SequentialWithoutPool,
    /// detectron2's: `stem.conv1.weight`, `stem.conv1.norm.weight`, `res2.0.shortcut.weight`.
    Detectron2,
    /// torchvision's with `shortcut` in place of `downsample`, as in networks for CIFAR.
    Shortcut,
}

impl Naming {
    /// Every convention, in the order in which they are tried.
    pub(super) const ALL: [Self; 7] = [
        Self::Torchvision,
        Self::HuggingFace,
        Self::HuggingFaceModel,
        Self::Sequential,
        Self::SequentialWithoutPool,
        Self::Detectron2,
        Self::Shortcut,
    ];

    fn leading(self) -> &'static str {
        if self == Self::HuggingFace { "resnet." } else { "" }
    }

    /// A checkpoint's key for the tensor with this torchvision name: `layer1.0.bn2.bias` is
    /// `resnet.encoder.stages.0.layers.0.layer.1.normalization.bias`. `None` for a name that no
    /// ResNet has.
    #[must_use]
    pub fn key(self, name: &str) -> Option<String> {
        let (module, part) = name.rsplit_once('.')?;
        let module = match self {
            Self::Torchvision => module.to_owned(),
            Self::Shortcut => module.replace(".downsample.", ".shortcut."),
            Self::HuggingFace | Self::HuggingFaceModel => hugging_face_key(self.leading(), module)?,
            Self::Sequential => sequential_key(module, 4)?,
            Self::SequentialWithoutPool => sequential_key(module, 3)?,
            Self::Detectron2 => detectron2_key(module)?,
        };
        Some(format!("{module}.{part}"))
    }

    /// torchvision's name for the tensor with this key in a checkpoint: the inverse of
    /// [`Naming::key`]. `None` for a key that does not follow this naming.
    #[must_use]
    pub fn name(self, key: &str) -> Option<String> {
        let (module, part) = key.rsplit_once('.')?;
        let module = match self {
            Self::Torchvision => module.to_owned(),
            Self::Shortcut => module.replace(".shortcut.", ".downsample."),
            Self::HuggingFace | Self::HuggingFaceModel => {
                hugging_face_name(module, self.leading())?
            }
            Self::Sequential => sequential_name(module, 4)?,
            Self::SequentialWithoutPool => sequential_name(module, 3)?,
            Self::Detectron2 => detectron2_name(module)?,
        };
        Some(format!("{module}.{part}"))
    }
}

/// `layer1.0.conv2` is `encoder.stages.0.layers.0.layer.1.convolution`.
fn hugging_face_key(leading: &str, module: &str) -> Option<String> {
    Some(match module {
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
    })
}

/// `encoder.stages.0.layers.0.layer.1.convolution` is `layer1.0.conv2`.
fn hugging_face_name(module: &str, leading: &str) -> Option<String> {
    let inner = match module.strip_prefix(leading) {
        _ if module == "classifier.1" => return Some("fc".to_owned()),
        Some("embedder.embedder.convolution") => return Some("conv1".to_owned()),
        Some("embedder.embedder.normalization") => return Some("bn1".to_owned()),
        Some(inner) => inner,
        None => return None,
    };
    let (stage, rest) = inner.strip_prefix("encoder.stages.")?.split_once(".layers.")?;
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

/// `layer1.0.conv2` is `4.0.conv2` if `layer1` is child 4.
fn sequential_key(module: &str, layer1: usize) -> Option<String> {
    Some(match module {
        "conv1" => "0".to_owned(),
        "bn1" => "1".to_owned(),
        _ => {
            let (stage, block, layer) = split(module)?;
            format!("{}.{block}.{layer}", stage.checked_sub(1)?.checked_add(layer1)?)
        }
    })
}

/// `4.0.conv2` is `layer1.0.conv2` if `layer1` is child 4.
fn sequential_name(module: &str, layer1: usize) -> Option<String> {
    Some(match module {
        "0" => "conv1".to_owned(),
        "1" => "bn1".to_owned(),
        _ => {
            let (child, rest) = module.split_once('.')?;
            let (block, layer) = rest.split_once('.')?;
            let stage = number(child)?.checked_sub(layer1)?.checked_add(1)?;
            format!("layer{stage}.{}.{layer}", number(block)?)
        }
    })
}

/// `layer1.0.bn2` is `res2.0.conv2.norm`.
fn detectron2_key(module: &str) -> Option<String> {
    Some(match module {
        "conv1" => "stem.conv1".to_owned(),
        "bn1" => "stem.conv1.norm".to_owned(),
        _ => {
            let (stage, block, layer) = split(module)?;
            let layer = match layer {
                "downsample.0" => "shortcut".to_owned(),
                "downsample.1" => "shortcut.norm".to_owned(),
                _ => match layer.strip_prefix("bn") {
                    Some(index) => format!("conv{}.norm", number(index)?),
                    None => layer.to_owned(),
                },
            };
            format!("res{}.{block}.{layer}", stage.checked_add(1)?)
        }
    })
}

/// `res2.0.conv2.norm` is `layer1.0.bn2`.
fn detectron2_name(module: &str) -> Option<String> {
    let rest = match module {
        "stem.conv1" => return Some("conv1".to_owned()),
        "stem.conv1.norm" => return Some("bn1".to_owned()),
        _ => module.strip_prefix("res")?,
    };
    let (stage, rest) = rest.split_once('.')?;
    let (block, layer) = rest.split_once('.')?;
    let layer = match layer {
        "shortcut" => "downsample.0".to_owned(),
        "shortcut.norm" => "downsample.1".to_owned(),
        _ => match layer.strip_suffix(".norm") {
            Some(conv) => format!("bn{}", number(conv.strip_prefix("conv")?)?),
            None => layer.to_owned(),
        },
    };
    Some(format!("layer{}.{}.{layer}", number(stage)?.checked_sub(1)?, number(block)?))
}

/// `layer3.5.downsample.0` as stage 3, block 5 and `downsample.0`.
pub(super) fn split(name: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
    let (block, layer) = rest.split_once('.')?;
    Some((number(stage)?, number(block)?, layer))
}

/// Whether a torchvision name belongs to the layers before the pooling: stem and blocks.
pub(super) fn is_trunk(name: &str) -> bool {
    let module = name.split_once('.').map_or(name, |(module, _)| module);
    matches!(module, "conv1" | "bn1") || split(name).is_some()
}

/// A number as PyTorch writes it: no sign, no leading zero.
pub(super) fn number(text: &str) -> Option<usize> {
    let value: usize = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let pairs = [
            (Naming::HuggingFace, "conv1.weight", "resnet.embedder.embedder.convolution.weight"),
            (
                Naming::HuggingFace,
                "bn1.running_var",
                "resnet.embedder.embedder.normalization.running_var",
            ),
            (
                Naming::HuggingFace,
                "layer3.22.bn3.num_batches_tracked",
                "resnet.encoder.stages.2.layers.22.layer.2.normalization.num_batches_tracked",
            ),
            (
                Naming::HuggingFaceModel,
                "layer2.0.downsample.0.weight",
                "encoder.stages.1.layers.0.shortcut.convolution.weight",
            ),
            (
                Naming::HuggingFaceModel,
                "layer2.0.downsample.1.bias",
                "encoder.stages.1.layers.0.shortcut.normalization.bias",
            ),
            (Naming::HuggingFace, "fc.weight", "classifier.1.weight"),
            (Naming::Sequential, "conv1.weight", "0.weight"),
            (Naming::Sequential, "bn1.running_mean", "1.running_mean"),
            (Naming::Sequential, "layer4.2.downsample.1.bias", "7.2.downsample.1.bias"),
            (Naming::SequentialWithoutPool, "layer1.0.conv3.weight", "3.0.conv3.weight"),
            (Naming::Detectron2, "bn1.weight", "stem.conv1.norm.weight"),
            (Naming::Detectron2, "layer4.2.bn3.bias", "res5.2.conv3.norm.bias"),
            (Naming::Detectron2, "layer1.0.downsample.0.weight", "res2.0.shortcut.weight"),
            (Naming::Detectron2, "layer1.0.downsample.1.weight", "res2.0.shortcut.norm.weight"),
            (Naming::Shortcut, "layer1.0.downsample.1.weight", "layer1.0.shortcut.1.weight"),
            (Naming::Torchvision, "layer1.0.downsample.1.weight", "layer1.0.downsample.1.weight"),
        ];
        for (naming, name, key) in pairs {
            assert_eq!(naming.key(name).as_deref(), Some(key));
            assert_eq!(naming.name(key).as_deref(), Some(name));
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
        for key in ["2.weight", "9.weight", "04.0.conv1.weight", "3.0.conv1.weight", "4.weight"] {
            assert_eq!(Naming::Sequential.name(key), None, "{key}");
        }
        for key in ["res0.0.conv1.weight", "res2.norm.weight", "stem.fc.weight", "fc.weight"] {
            assert_eq!(Naming::Detectron2.name(key), None, "{key}");
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
    fn the_trunk_is_stem_and_blocks() {
        for name in ["conv1.weight", "bn1.bias", "layer1.0.conv2.weight", "layer9.0.se.fc1.weight"]
        {
            assert!(is_trunk(name), "{name}");
        }
        for name in ["fc.weight", "layer1.weight", "layer4.norm.weight", "conv2.weight", "pool.p"] {
            assert!(!is_trunk(name), "{name}");
        }
    }
}
