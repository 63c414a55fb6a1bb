//! The ResNet family: specifications and state dicts as torchvision has them, and networks found from checkpoints.

use std::error::Error;

use serde_json::Value;
use wgpu_bottleneck::Norm;
use wgpu_bottleneck::network::{ResNet, Stem, VARIANTS};
use wgpu_bottleneck::op::KernelSize;

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
                "replace_stride_with_dilation" => {
                    builder.replace_stride_with_dilation(serde_json::from_value::<Vec<bool>>(value.clone())?)
                }
                "norm_layer" => builder.norm_layer(Norm::from_name(value.as_str().ok_or("no norm")?, 1e-5)?),
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
    network.state_dict_shapes().iter().map(|(key, shape)| format!("{key} {}", dims(shape))).collect()
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
        assert!(cases.iter().any(|case| case.golden["name"] == variant.name), "{} has no golden", variant.name);
    }
    Ok(())
}

#[test]
fn convolutions_are_those_of_torchvision() -> Outcome {
    for Case { network, golden, title } in cases()? {
        let mut found = vec![format!("conv1 {} 1 1 {}", Stem::STRIDE, Stem::PADDING)];
        for (name, block) in network.blocks() {
            found.extend(block.layers().iter().map(|layer| {
                let conv = layer.conv;
                let padding = if conv.kernel == KernelSize::Three { conv.dilation } else { 0 };
                format!("{name}.{} {} {} {} {padding}", layer.conv_name, conv.stride, conv.dilation, conv.groups)
            }));
        }
        let expected: Option<Vec<&str>> =
            golden["convs"].as_array().map(|convs| convs.iter().filter_map(|conv| conv.as_str()).collect());
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
    let thin = ResNet::named("resnet50")?.planes([32, 64, 128, 256]).stem_planes(32).classes(Some(2)).build()?;
    assert!(thin.variant().is_none());
    let text = "ResNet of Bottlenecks, depths [3, 4, 6, 3], planes [32, 64, 128, 256], stem 32, 2 classes";
    assert_eq!(thin.to_string(), text);
    Ok(())
}
