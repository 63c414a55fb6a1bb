//! Parts and networks that are no ResNet's, recognised by their keys.

use super::Shapes;
use super::names::{number, split};

/// The kind of a part that other networks have and a ResNet does not, from a tensor's name in
/// torchvision's convention. `None` for names that a ResNet has, and for names of heads.
pub(super) fn foreign_part(name: &str, dims: &[usize]) -> Option<&'static str> {
    let segments: Vec<&str> = name.split('.').collect();
    let has = |names: &[&str]| segments.iter().any(|segment| names.contains(segment));
    let (first, layer) = (segments[0], split(name).map(|(_, _, layer)| layer));
    // Modules next to the blocks that change what the blocks receive or return.
    let Some(layer) = layer else {
        let digit = segments.get(1).is_some_and(|segment| number(segment).is_some());
        return match first {
            "conv1" | "stem" if digit => Some("a deep stem (ResNet-D)"),
            "conv2" | "conv3" | "bn2" | "bn3" => Some("a deep stem"),
            "attnpool" => Some("attention pooling (attnpool, CLIP)"),
            "maxpool" | "pool1" => Some("an anti-aliasing filter (BlurPool)"),
            "se" | "ca" | "sa" | "cbam" | "attn" | "attention" | "non_local" => {
                Some("an attention layer")
            }
            "conv1" if dims.len() == 5 => Some("a 3D convolution"),
            "conv1" if name.ends_with(".bias") => Some("the bias of a convolution"),
            _ => None,
        };
    };
    let shortcut = Some(layer).filter(|layer| layer.starts_with("downsample."));
    match shortcut {
        _ if has(&["se", "se_module", "se_layer"]) => Some("a squeeze-and-excitation layer"),
        _ if has(&["attn", "attention", "eca", "cbam", "non_local"]) => Some("an attention layer"),
        _ if has(&["aa", "filt"]) => Some("an anti-aliasing filter (BlurPool)"),
        _ if has(&["convs", "bns"]) => Some("a block of several scales (Res2Net)"),
        _ if has(&["IN", "BN"]) => Some("a norm of two halves (IBN-Net)"),
        _ if has(&["lora_A", "lora_B"]) => Some("an adapter (LoRA)"),
        _ if has(&["conv2_offset", "conv_offset"]) => Some("a deformable convolution"),
        _ if dims.len() == 5 => Some("a 3D convolution"),
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

/// The family of a network that is not a ResNet, and a key that occurs only in this family.
pub(super) fn other_network(dict: &impl Shapes) -> Option<(&'static str, &str)> {
    let families: [(&'static str, &[&str]); 11] = [
        ("a vision transformer (ViT)", &["patch_embed.proj.weight", "patch_embeddings."]),
        ("a vision transformer (ViT)", &["class_embedding", "cls_token"]),
        ("a ConvNeXt", &["dwconv.weight", "layer_scale", "downsample_layers."]),
        ("a ConvNeXt", &["stages.0.blocks.0.conv_dw.weight"]),
        ("a pre-activation ResNet (ResNetV2, BiT)", &["stages.0.blocks.0.norm1.weight"]),
        ("a pre-activation ResNet (ResNetV2, BiT)", &["block1.unit01.gn1.weight"]),
        ("an adapter (LoRA) without the network", &["lora_A", "lora_B"]),
        ("the blobs of a Caffe2 network", &["res2_0_branch2a_w", "conv1_w"]),
        ("a Res2Net", &["layer1.0.convs.0.weight"]),
        ("a DenseNet", &["denseblock1.denselayer1."]),
        ("an EfficientNet or a MobileNet", &["conv_stem.weight"]),
    ];
    let keys: Vec<&str> = dict.keys().collect();
    families.iter().find_map(|(family, parts)| {
        let holds = |key: &&&str| parts.iter().any(|part| key.contains(part));
        keys.iter().find(holds).map(|key| (*family, *key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_parts_have_names() {
        let part = |name: &str, dims: &[usize]| foreign_part(name, dims).unwrap_or_default();
        assert!(part("layer1.0.se.fc1.weight", &[8, 64, 1, 1]).contains("squeeze"));
        assert!(part("layer1.0.se_module.fc1.weight", &[8, 64, 1, 1]).contains("squeeze"));
        assert!(part("conv1.0.weight", &[32, 3, 3, 3]).contains("deep stem"));
        assert!(part("stem.0.weight", &[32, 3, 3, 3]).contains("deep stem"));
        assert!(part("conv2.weight", &[32, 3, 3, 3]).contains("deep stem"));
        assert!(part("attnpool.q_proj.weight", &[8, 8]).contains("attnpool"));
        assert!(part("maxpool.1.filt", &[4, 1, 4, 4]).contains("anti-aliasing"));
        assert!(part("layer2.0.aa.filt", &[128, 1, 3, 3]).contains("anti-aliasing"));
        assert!(part("layer2.0.downsample.1.weight", &[512, 256, 1, 1]).contains("averaged"));
        assert!(part("layer2.0.downsample.0.weight", &[512, 256, 3, 3]).contains("not 1x1"));
        assert!(part("layer2.0.downsample.2.weight", &[512]).contains("more than two"));
        assert!(part("layer2.0.convs.0.weight", &[26, 26, 3, 3]).contains("Res2Net"));
        assert!(part("layer2.0.conv2.fc1.weight", &[26, 26, 1, 1]).contains("ResNeSt"));
        assert!(part("layer2.0.conv2_offset.weight", &[18, 64, 3, 3]).contains("deformable"));
        assert!(part("layer2.0.bn1.IN.weight", &[8]).contains("IBN"));
        assert!(part("layer2.0.conv2.bias", &[64]).contains("bias"));
        assert!(part("conv1.bias", &[64]).contains("bias"));
        for name in [
            "conv1.weight",
            "bn1.bias",
            "layer1.0.conv2.weight",
            "layer1.0.bn2.bias",
            "fc.bias",
            "fc.0.weight",
            "decode_head.conv_seg.bias",
            "transformer.layers.0.attn.weight",
            "x",
        ] {
            assert_eq!(part(name, &[1]), "", "{name}");
        }
        assert_eq!(part("layer2.0.downsample.0.weight", &[512, 256, 1, 1]), "");
        assert_eq!(part("layer2.0.downsample.1.weight", &[512]), "");
    }
}
