//! Hugging Face's image processors by class and version: embeddings of their own pixels
//! (tests/golden/processors.py).

use std::collections::BTreeMap;

use serde_json::Value;
use wgpu_bottleneck::{
    BlockKind, Gpu, Image, ImagePipeline, LoadOptions, NetworkWeights, Preprocess, ResNet,
    StateDict,
};

use super::golden::{crc32, pattern};
use crate::common::{Outcome, golden_dir, seeded_network};

/// The preprocessing of a case: the saved configuration with the class and the version filled in.
/// Since 5.4 the saved class name does not show the backend.
fn preprocess(case: &Value) -> Result<Preprocess, Box<dyn std::error::Error>> {
    let mut config = case["config"].clone();
    config["image_processor_type"] = case["class"].clone();
    config["transformers_version"] = case["transformers_version"].clone();
    Ok(Preprocess::from_config_text(&config.to_string())?)
}

fn image(case: &Value) -> Result<Image, Box<dyn std::error::Error>> {
    let side = |index: usize| case["size"][index].as_u64().map(|side| side as u32).ok_or("no size");
    Ok(pattern(case["kind"].as_str().ok_or("no kind")?, side(0)?, side(1)?)?)
}

#[test]
fn vectors_are_those_of_the_processors_own_pixels() -> Outcome {
    let text = std::fs::read_to_string(golden_dir().join("processors.json"))?;
    let all: Value = serde_json::from_str(&text)?;
    let cases = all["cases"].as_array().ok_or("no cases")?;
    let network = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 1])
        .planes([4, 8])
        .stem_planes(5)
        .build()?;
    let weights = NetworkWeights::matching(
        StateDict::from_bytes(seeded_network::file(&network))?,
        &network,
        None,
    )?;
    let gpu = Gpu::new()?;
    let (mut failures, mut worst) = (Vec::new(), BTreeMap::<&str, f64>::new());
    for case in cases {
        let name =
            format!("{} of {}, {}", case["class"], case["transformers_version"], case["size"]);
        let (preprocess, image) = (preprocess(case)?, image(case)?);
        let is_pillow = case["backend"] == "pillow";
        if is_pillow {
            let tensor = preprocess.tensor(std::slice::from_ref(&image))?;
            let bytes: Vec<u8> =
                tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect();
            if Some(u64::from(crc32(&bytes))) != case["pixels_crc32"].as_u64() {
                failures.push(format!("{name}: other pixels"));
            }
        }
        let mut pipeline =
            ImagePipeline::load(&gpu, &weights, &preprocess, 1, &LoadOptions::default())?;
        let found = pipeline.embed(&[(&image).into()])?;
        let expected: Vec<f64> = case["vector"]
            .as_array()
            .ok_or("no vector")?
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        assert_eq!(found.data().len(), expected.len());
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let off = found
            .data()
            .iter()
            .zip(&expected)
            .map(|(&found, expected)| (f64::from(found) - expected).abs());
        let off = off.map(|off| if off.is_nan() { f64::INFINITY } else { off });
        let error = off.fold(0.0, f64::max) / largest;
        let bound = if is_pillow { 1e-6 } else { 1e-3 };
        let kind = worst.entry(if is_pillow { "pillow" } else { "torchvision" }).or_default();
        *kind = kind.max(error);
        if !error.lt(&bound) {
            failures.push(format!("{name}: off by {error:.1e} of the largest value"));
        }
    }
    println!("{} cases, off by at most {worst:?}", cases.len());
    assert!(cases.len() > 100, "only {} cases", cases.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    Ok(())
}

/// The applied rule is reported. An unknown version counts as the newest.
#[test]
fn the_rule_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let rule = |class: &str, version: Option<&str>| -> Result<String, Box<dyn std::error::Error>> {
        let processor = serde_json::json!({
            "image_processor_type": class, "size": {"shortest_edge": 256}, "crop_size": 224,
            "resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        });
        let path = folder.path().join("preprocessor_config.json");
        std::fs::write(&path, processor.to_string())?;
        let model = serde_json::json!({"model_type": "resnet", "transformers_version": version});
        std::fs::write(folder.path().join("config.json"), model.to_string())?;
        Ok(Preprocess::configured(path)?.rule.ok_or("no rule")?)
    };
    let pillow = "Pillow backend, centre crop rounds down";
    let down = "torchvision backend, centre crop rounds down; resized with Pillow's filter";
    let even =
        "torchvision backend, centre crop rounds halves to even; resized with Pillow's filter";
    let assumed = "transformers 5 (assumed, no config.json gives a version)";
    for (class, version, of, how) in [
        ("CLIPImageProcessor", Some("4.57.6"), "transformers 4.57", pillow),
        ("CLIPImageProcessor", Some("5.0.0"), "transformers 5.0", down),
        ("CLIPImageProcessor", None, assumed, down),
        ("BitImageProcessorFast", Some("4.56.2"), "transformers 4.56", even),
        ("BitImageProcessorFast", Some("4.57.0.dev0"), "transformers 4.57", down),
        ("ConvNextImageProcessorFast", Some("4.57.6"), "transformers 4.57", even),
        ("ConvNextImageProcessorFast", Some("5.3.0"), "transformers 5.3", down),
        ("CLIPImageProcessorPil", Some("5.24.0"), "transformers 5.24", pillow),
        ("CLIPFeatureExtractor", Some("4.20.1"), "transformers 4.20", pillow),
        ("CLIPImageProcessor", Some("next"), assumed, down),
    ] {
        assert_eq!(rule(class, version)?, format!("{class}: rules of {of}: {how}"));
    }
    Ok(())
}
