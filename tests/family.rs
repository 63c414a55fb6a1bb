//! The ResNet family: specifications and state dicts as torchvision has them, and networks found
//! from checkpoints.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::Value;
use wgpu_bottleneck::error::{Differences, Error as CrateError, ErrorKind, WeightsError};
use wgpu_bottleneck::network::{BlockKind, ResNet, VARIANTS};
use wgpu_bottleneck::op::KernelSize;
use wgpu_bottleneck::weights::{Head, Naming};
use wgpu_bottleneck::{Checkpoint, CheckpointOptions, Norm, StateDict, StrideIn};

type Outcome = Result<(), Box<dyn Error>>;

/// A network of `golden/family.json`.
struct Case {
    title: String,
    network: ResNet,
    golden: Value,
}

/// Every network that `golden/family.py` asked torchvision about, built from the same arguments.
fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/family.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let case = |golden: &Value| -> Result<Case, Box<dyn Error>> {
        let mut builder = ResNet::named(golden["name"].as_str().ok_or("no name")?)?;
        for (argument, value) in golden["arguments"].as_object().ok_or("no arguments")? {
            let number = || value.as_u64().map(|number| number as usize).ok_or("no number");
            builder = match argument.as_str() {
                "replace_stride_with_dilation" => builder.replace_stride_with_dilation(
                    serde_json::from_value::<Vec<bool>>(value.clone())?,
                ),
                "norm_layer" => {
                    builder.norm_layer(Norm::from_name(value.as_str().ok_or("no norm")?, 1e-5)?)
                }
                "num_classes" => builder.classes(Some(number()?)),
                "width_per_group" => builder.width_per_group(number()?),
                other => return Err(format!("unknown argument {other}").into()),
            };
        }
        let title = format!("{} {}", golden["name"], golden["arguments"]);
        Ok(Case { title, network: builder.build()?, golden: golden.clone() })
    };
    golden["cases"].as_array().ok_or("no cases")?.iter().map(case).collect()
}

/// 64-bit FNV-1a.
fn hash(text: &str) -> String {
    let step = |value: u64, byte: &u8| (value ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn lines(network: &ResNet) -> Vec<String> {
    let dims = |dims: &[usize]| dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    network
        .state_dict_shapes()
        .iter()
        .map(|(key, shape)| format!("{key} {}", dims(shape)))
        .collect()
}

#[test]
fn state_dicts_are_those_of_torchvision() -> Outcome {
    let (cases, mut in_full) = (cases()?, 0);
    for Case { network, golden, title } in &cases {
        let found = lines(network);
        if let Some(expected) = golden["state_dict"].as_array() {
            in_full += 1;
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected.as_str(), Some(found.as_str()), "{title}");
            }
        }
        assert_eq!(golden["keys"].as_u64(), Some(found.len() as u64), "{title}");
        let text: String = found.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(golden["hash"].as_str(), Some(hash(&text).as_str()), "{title}");
        assert_eq!(golden["parameters"].as_u64(), Some(network.parameters()), "{title}");
    }
    assert!(in_full >= 3, "only {in_full} state dicts in full");
    for variant in VARIANTS {
        assert!(
            cases.iter().any(|case| case.golden["name"] == variant.name),
            "{} has no golden",
            variant.name
        );
    }
    Ok(())
}

#[test]
fn convolutions_are_those_of_torchvision() -> Outcome {
    for Case { network, golden, title } in cases()? {
        let mut found = vec![format!("conv1 {} 1 1 {}", 2, 3)];
        for (name, block) in network.blocks() {
            found.extend(block.layers().iter().map(|layer| {
                let conv = layer.conv;
                let padding = if conv.kernel == KernelSize::Three { conv.dilation } else { 0 };
                format!(
                    "{name}.{} {} {} {} {padding}",
                    layer.conv_name, conv.stride, conv.dilation, conv.groups
                )
            }));
        }
        let expected: Option<Vec<&str>> = golden["convs"]
            .as_array()
            .map(|convs| convs.iter().filter_map(|conv| conv.as_str()).collect());
        assert_eq!(
            expected.as_deref(),
            Some(found.iter().map(String::as_str).collect::<Vec<_>>().as_slice()),
            "{title}"
        );
    }
    Ok(())
}

#[test]
fn named_networks_know_their_names() -> Outcome {
    for variant in VARIANTS {
        let network = ResNet::named(variant.name)?.build()?;
        assert_eq!(network.variant().map(|found| found.name), Some(variant.name));
        assert_eq!((network.to_string().as_str(), network.output_stride()), (variant.name, 32));
    }
    let thin = ResNet::named("resnet50")?
        .planes([32, 64, 128, 256])
        .stem_planes(32)
        .classes(Some(2))
        .build()?;
    assert!(thin.variant().is_none());
    let text =
        "ResNet of Bottlenecks, depths [3, 4, 6, 3], planes [32, 64, 128, 256], stem 32, 2 classes";
    assert_eq!(thin.to_string(), text);
    Ok(())
}

/// A checkpoint without numbers.
type Dims = BTreeMap<String, Vec<usize>>;

fn dims_of(network: &ResNet) -> Dims {
    network.state_dict_shapes().into_iter().collect()
}

/// The same tensors under other keys.
fn renamed(dims: &Dims, rename: impl Fn(&str) -> String) -> Dims {
    dims.iter().map(|(key, dims)| (rename(key), dims.clone())).collect()
}

fn detect(dims: &Dims) -> Result<Checkpoint, CrateError> {
    Checkpoint::detect(dims, &CheckpointOptions::default())
}

fn resnet(name: &str) -> Result<ResNet, Box<dyn Error>> {
    Ok(ResNet::named(name)?.build()?)
}

fn thin() -> Result<ResNet, Box<dyn Error>> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([2, 2, 2, 2]).planes([32, 64, 128, 256]);
    Ok(builder.stem_planes(32).in_channels(1).classes(Some(2)).build()?)
}

/// The error's text, which must be of the caller's making.
fn refused<T>(result: Result<T, CrateError>) -> String {
    match result {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Input);
            error.to_string()
        }
        Ok(_) => "nothing was wrong".to_owned(),
    }
}

#[test]
fn every_variant_is_found_from_its_shapes() -> Outcome {
    for variant in VARIANTS {
        for classes in [Some(1000), Some(2), None] {
            let network = variant.builder().classes(classes).build()?;
            let found = detect(&dims_of(&network))?;
            assert_eq!(*found.network(), network, "{network}");
            assert_eq!((found.naming(), found.prefix()), (Naming::Torchvision, ""));
            assert_eq!(found.keys().count(), network.state_dict_shapes().len());
            assert_eq!(found.key("layer1.0.conv1.weight"), Some("layer1.0.conv1.weight"));
        }
    }
    Ok(())
}

#[test]
fn networks_without_a_name_are_found_too() -> Outcome {
    let odd = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 2, 1])
        .planes([24, 40, 56])
        .groups(8)
        .width_per_group(26);
    let basic = ResNet::builder(BlockKind::Basic)
        .depths([1, 1, 3])
        .planes([10, 20, 30])
        .stem_planes(12)
        .in_channels(4);
    for network in [thin()?, odd.build()?, basic.build()?] {
        let found = detect(&dims_of(&network))?;
        let found = found.network();
        assert_eq!(found.state_dict_shapes(), network.state_dict_shapes(), "{network}");
        assert_eq!(
            (found.stages().len(), found.kind()),
            (network.stages().len(), network.kind()),
            "{network}"
        );
    }
    assert_eq!(*detect(&dims_of(&thin()?))?.network(), thin()?);
    Ok(())
}

#[test]
fn what_shapes_do_not_say_comes_from_the_options() -> Outcome {
    let frozen = Norm::FrozenBatchNorm2d { eps: 1e-5 };
    let builder = ResNet::named("resnet50")?
        .replace_stride_with_dilation([false, true, true])
        .multi_grid([1, 2, 4]);
    let network = builder.stride_in(StrideIn::Conv1).norm_layer(frozen).build()?;
    let options = CheckpointOptions {
        norm: Some(frozen.kind()),
        eps: frozen.eps(),
        stride_in: Some(StrideIn::Conv1),
        replace_stride_with_dilation: Some(vec![false, true, true]),
        multi_grid: Some(vec![1, 2, 4]),
        ..Default::default()
    };
    assert_eq!(*Checkpoint::detect(&dims_of(&network), &options)?.network(), network);
    // A file of BatchNorm2d has num_batches_tracked besides, which a frozen norm passes over, and
    // an old file has none.
    let plain = dims_of(&resnet("resnet50")?);
    assert_eq!(*Checkpoint::detect(&plain, &options)?.network(), network);
    let old = plain.into_iter().filter(|(key, _)| !key.ends_with("num_batches_tracked")).collect();
    assert_eq!(*detect(&old)?.network(), resnet("resnet50")?);
    let options = CheckpointOptions { multi_grid: Some(vec![1, 2]), ..options };
    let text = "multi_grid must have 3 entries, found 2";
    assert_eq!(refused(Checkpoint::detect(&old, &options)), text);
    Ok(())
}

#[test]
fn hugging_face_names_are_understood() -> Outcome {
    for name in ["resnet18", "resnet50", "resnet152"] {
        let network = resnet(name)?;
        let torchvision = dims_of(&network);
        let hugging_face =
            renamed(&torchvision, |name| Naming::HuggingFace.key(name).unwrap_or_default());
        assert_eq!(hugging_face.len(), torchvision.len());
        let found = detect(&hugging_face)?;
        assert_eq!((found.network(), found.naming()), (&network, Naming::HuggingFace));
        let key = "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_mean";
        assert_eq!(found.key("layer2.0.downsample.1.running_mean"), Some(key));
        assert_eq!(found.key("fc.weight"), Some("classifier.1.weight"));
        // ResNetModel: no leading "resnet." and no classifier.
        let backbone: Dims =
            renamed(&hugging_face, |key| key.trim_start_matches("resnet.").to_owned())
                .into_iter()
                .filter(|(key, _)| !key.starts_with("classifier"))
                .collect();
        let found = detect(&backbone)?;
        assert_eq!((found.naming(), found.network().classes()), (Naming::HuggingFaceModel, None));
        assert_eq!(found.network().variant().map(|variant| variant.name), Some(name));
        // Of two linear layers, neither is the classifier.
        let mut both = hugging_face;
        both.insert("fc.weight".to_owned(), vec![1000, network.features()]);
        let found = detect(&both)?;
        assert_eq!(found.network().classes(), None);
        assert!(matches!(found.head(), Head::Other(keys) if keys.len() == 2), "{:?}", found.head());
    }
    Ok(())
}

#[test]
fn prefixes_are_taken_off() -> Outcome {
    let network = resnet("resnet18")?;
    let plain = dims_of(&network);
    for prefix in ["module.", "backbone.", "model.module.", "module.model.encoder."] {
        let mut dims = renamed(&plain, |key| format!("{prefix}{key}"));
        dims.insert("input".to_owned(), vec![1, 3, 224, 224]);
        let found = detect(&dims)?;
        assert_eq!((found.network(), found.prefix()), (&network, prefix));
        assert_eq!(found.key("fc.bias"), Some(format!("{prefix}fc.bias").as_str()));
        assert_eq!(Checkpoint::matching(&dims, &network, None)?, found);
    }
    // Keys of other modules do not matter; with a prefix, not even as a head.
    let mut dims = renamed(&plain, |key| format!("backbone.{key}"));
    dims.insert("neck.weight".to_owned(), vec![2, 512]);
    let found = detect(&dims)?;
    assert_eq!((found.network().classes(), found.prefix()), (None, "backbone."));
    let with = |prefix: &str| {
        let options = CheckpointOptions { prefix: Some(prefix.to_owned()), ..Default::default() };
        Checkpoint::detect(&dims, &options)
    };
    let found = with("backbone")?;
    assert_eq!((found.network(), found.prefix()), (&network, "backbone."));
    let text = "none at prefix neck.; prefixes with a network: backbone.";
    assert!(refused(with("neck")).ends_with(text), "{}", refused(with("neck")));
    // Of two networks, the prefix selects one; an average of weights is no second one.
    let average = renamed(&dims, |key| format!("model_ema.{key}"));
    let found = detect(&dims.clone().into_iter().chain(average).collect())?;
    assert_eq!(
        (found.prefix(), found.averages()),
        ("backbone.", &["model_ema.backbone.".to_owned()][..])
    );
    let two = dims.clone().into_iter().chain(renamed(&dims, |key| format!("k.{key}"))).collect();
    let text =
        "2 networks in this checkpoint; select one: --prefix backbone. or --prefix k.backbone.";
    assert_eq!(refused(detect(&two)), text);
    // The empty prefix is an argument too, and selects a network with its own head.
    let two: Dims =
        plain.clone().into_iter().chain(renamed(&plain, |key| format!("k.{key}"))).collect();
    let said = refused(detect(&two));
    assert!(said.ends_with("--prefix k. or --prefix ''"), "{said}");
    let root = CheckpointOptions { prefix: Some(String::new()), ..Default::default() };
    assert_eq!(Checkpoint::detect(&two, &root)?.network(), &network);
    // The heads of torchvision's segmentation models dilate the backbone.
    let mut fcn = renamed(&plain, |key| format!("backbone.{key}"));
    fcn.retain(|key, _| !key.starts_with("backbone.fc."));
    fcn.insert("classifier.0.weight".to_owned(), vec![4, 512, 3, 3]);
    fcn.insert("classifier.4.weight".to_owned(), vec![2, 4, 1, 1]);
    assert!(refused(detect(&fcn)).contains("--replace-stride-with-dilation false,true,true"));
    Ok(())
}

#[test]
fn a_file_will_do() -> Outcome {
    let network = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 1])
        .planes([1, 2])
        .stem_planes(2)
        .classes(Some(2))
        .build()?;
    let zeros = vec![0; 2 * 2 * 3 * 49];
    let view = |dims: Vec<usize>| {
        let bytes = 2 * dims.iter().product::<usize>();
        safetensors::tensor::TensorView::new(safetensors::Dtype::F16, dims, &zeros[..bytes])
    };
    let views: Result<Vec<_>, _> = network
        .state_dict_shapes()
        .into_iter()
        .map(|(key, dims)| view(dims).map(|view| (key, view)))
        .collect();
    let dict = StateDict::from_bytes(safetensors::serialize(views?, None)?)?;
    assert_eq!(*Checkpoint::detect(&dict, &CheckpointOptions::default())?.network(), network);
    Ok(())
}

/// The differences that a result of comparing names.
fn differences<T>(result: Result<T, CrateError>) -> Result<Differences, Box<dyn Error>> {
    match result {
        Err(CrateError::Weights(WeightsError::Network { differences, .. })) => Ok(*differences),
        Err(other) => Err(format!("not differences: {other}").into()),
        Ok(_) => Err("nothing was wrong".into()),
    }
}

#[test]
fn differing_keys_are_named() -> Outcome {
    let network = resnet("resnet50")?;
    let mut dims = dims_of(&network);
    dims.remove("layer3.2.conv2.weight");
    dims.remove("layer3.2.bn2.bias");
    dims.insert("layer1.0.bn1.running_mean".to_owned(), vec![65]);
    dims.insert("layer4.2.extra.weight".to_owned(), vec![1]);
    let found = differences(detect(&dims))?;
    assert_eq!(found.missing, ["layer3.2.conv2.weight", "layer3.2.bn2.bias"]);
    assert_eq!(found.unexpected, ["layer4.2.extra.weight"]);
    assert_eq!(
        (found.shapes[0].expected.as_slice(), found.shapes[0].found.as_slice()),
        (&[64][..], &[65][..])
    );
    let text = "the checkpoint does not fit resnet50: 2 tensors missing (layer3.2.conv2.weight, \
        layer3.2.bn2.bias); 1 tensor \
                unexpected (layer4.2.extra.weight); 1 tensor of another shape \
                (layer1.0.bn1.running_mean: expected [64], \
                found [65])";
    assert_eq!(refused(detect(&dims)), text);
    assert_eq!(refused(Checkpoint::matching(&dims, &network, None)), text);
    Ok(())
}

#[test]
fn a_checkpoint_of_another_network_is_named_as_such() -> Outcome {
    let expected = resnet("resnet50")?;
    let deeper = dims_of(&resnet("resnet101")?);
    let found = differences(Checkpoint::matching(&deeper, &expected, None))?;
    assert_eq!((found.missing.len(), found.shapes.len()), (0, 0));
    // 17 more blocks, each of three convolutions and three norms of five tensors.
    assert_eq!(found.unexpected.len(), 17 * 3 * 6);
    assert_eq!(found.looks_like.as_deref(), Some("resnet101"));
    let text = refused(Checkpoint::matching(&deeper, &expected, None));
    assert!(
        text.contains("306 tensors unexpected (layer3.10.bn1.bias, ") && text.contains(", ...)"),
        "{text}"
    );
    let two = dims_of(&ResNet::named("resnet50")?.classes(Some(2)).build()?);
    let text = "the checkpoint does not fit resnet50: 2 tensors of another shape (fc.weight: \
        expected [1000, 2048], found \
                [2, 2048], fc.bias: expected [1000], found [2]); it is one of resnet50, 2 classes";
    assert_eq!(refused(Checkpoint::matching(&two, &expected, None)), text);
    let hugging_face = renamed(&two, |name| Naming::HuggingFace.key(name).unwrap_or_default());
    let text = refused(Checkpoint::matching(&hugging_face, &expected, None));
    assert!(text.contains("classifier.1.weight: expected [1000, 2048], found [2, 2048]"), "{text}");
    Ok(())
}

#[test]
fn other_architectures_are_refused_by_name() -> Outcome {
    let plain = dims_of(&resnet("resnet50")?);
    let with = |key: &str, dims: &[usize]| {
        let mut changed = plain.clone();
        changed.insert(key.to_owned(), dims.to_vec());
        refused(detect(&changed))
    };
    let text = "tensor layer1.0.se.fc1.weight: a squeeze-and-excitation layer is not supported";
    assert_eq!(with("layer1.0.se.fc1.weight", &[16, 256, 1, 1]), text);
    assert!(with("conv1.0.weight", &[32, 3, 3, 3]).contains("a deep stem (ResNet-D)"));
    assert!(with("layer2.0.aa.filt", &[128, 1, 3, 3]).contains("BlurPool"));
    assert!(
        with("layer2.0.downsample.1.weight", &[512, 256, 1, 1]).contains("an averaged shortcut")
    );
    assert!(with("conv1.bias", &[64]).contains("the bias of a convolution"));
    let text =
        "tensor conv1.weight: expected shape [out, in, 7, 7] without zeros, found [64, 3, 5, 5]";
    assert_eq!(with("conv1.weight", &[64, 3, 5, 5]), text);
    assert!(with("layer1.0.conv3.weight", &[255, 64, 1, 1]).contains("[4 * planes, width, 1, 1]"));
    assert!(with("layer1.0.conv2.weight", &[64, 7, 3, 3]).contains("a divisor of 64"));
    Ok(())
}

#[test]
fn files_that_lie_are_refused() -> Outcome {
    assert!(refused(detect(&Dims::new())).contains("no ResNet in this checkpoint"));
    let plain = dims_of(&resnet("resnet18")?);
    for (key, dims) in [
        ("layer18446744073709551615.0.conv1.weight", vec![1, 1, 3, 3]),
        ("layer1.18446744073709551615.conv1.weight", vec![1, 1, 3, 3]),
        ("layer1.999999.conv1.weight", vec![1, 1, 3, 3]),
        ("layer0.0.conv1.weight", vec![1, 1, 3, 3]),
        ("layer9.0.conv1.weight", vec![1, 1, 3, 3]),
        ("layer1.0.conv3.weight", vec![4, 1, 1, 1]),
        ("layer1.0.conv2.weight", vec![usize::MAX, usize::MAX, 3, 3]),
        ("layer4.0.conv2.weight", vec![0, 0, 3, 3]),
        ("layer4.0.conv2.weight", vec![]),
        ("layer1.0.\u{e9}.weight", vec![1]),
    ] {
        let mut changed = plain.clone();
        changed.insert(key.to_owned(), dims.clone());
        assert_ne!(refused(detect(&changed)), "nothing was wrong", "{key} {dims:?}");
    }
    Ok(())
}
