//! Half precision in the program: `--precision`, and `bottleneck verify`.

use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::{Gpu, ResNet, Shape, StateDict};

use crate::common::dict::DictBuilder;
use crate::common::seeded_network::{file, uniform};
use crate::common::{Outcome, loudly};
use crate::program::{Folder, Result, bottleneck, complaint, run, stderr, text};

/// A network as `w` and three images as `in`.
fn folder(weights: &[u8]) -> Result<Folder> {
    let shape = Shape::new(3, 3, 33, 40)?;
    let mut input = DictBuilder::default();
    input.f32(
        "input",
        &shape.dims(),
        &uniform("input", shape.len()).map(|value| value - 0.5).collect::<Vec<f32>>(),
    );
    Folder::with(weights, &input.bytes())
}

fn small() -> Result<ResNet> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([2, 1]).planes([4, 8]).stem_planes(8);
    Ok(builder.classes(Some(7)).build()?)
}

fn has_half() -> Result<bool> {
    let has = Gpu::new()?.capabilities().f16;
    if !has {
        loudly("SKIPPED: no half precision here");
    }
    Ok(has)
}

fn logits(folder: &Folder, precision: &str) -> Result<Vec<f32>> {
    let output = run(bottleneck()
        .args(["run", "--weights", "w", "--input", "in", "--output", "out", "--verify"])
        .args(["--precision", precision])
        .current_dir(folder.0.path()))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    Ok(StateDict::open(folder.path("out"))?.tensor("logits")?.data)
}

#[test]
fn a_network_runs_in_half_precision() -> Outcome {
    if !has_half()? {
        return Ok(());
    }
    let folder = folder(&file(&small()?))?;
    let [single, half, auto] = ["f32", "f16", "auto"].map(|precision| logits(&folder, precision));
    let (single, half) = (single?, half?);
    let largest = single.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let off = single.iter().zip(&half).fold(0.0, |off: f32, (a, b)| off.max((a - b).abs()));
    assert!(off > 0.0 && off < 1e-2 * largest, "{off} of {largest}");
    assert_eq!(auto?, half);
    Ok(())
}

#[test]
fn what_half_precision_cannot_hold_is_named() -> Outcome {
    if !has_half()? {
        return Ok(());
    }
    let bytes = file(&small()?);
    let (dict, mut large) = (StateDict::from_bytes(bytes)?, DictBuilder::default());
    for key in dict.keys() {
        let tensor = dict.tensor(key)?;
        let by = if key == "layer1.1.bn2.weight" || key == "layer1.1.bn2.bias" { 3e5 } else { 1.0 };
        let by = if key == "layer1.1.conv3.weight" { 1.0 / 3e5 } else { by };
        large.f32(
            key,
            &tensor.dims,
            &tensor.data.iter().map(|value| value * by).collect::<Vec<f32>>(),
        );
    }
    let folder = folder(&large.bytes())?;
    let args = ["run", "--weights", "w", "--input", "in", "--output", "out", "--precision", "f16"];
    let output = run(bottleneck().args(args).current_dir(folder.0.path()))?;
    assert_eq!(complaint(&output, 2, &["layer1.1.conv2", "65504"]), None);
    assert!(!folder.path("out").exists());
    let output = run(bottleneck()
        .args([
            "run",
            "--weights",
            "w",
            "--input",
            "in",
            "--output",
            "out",
            "--precision",
            "auto",
            "--verify",
        ])
        .current_dir(folder.0.path()))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("layer1.1.conv2"), "{}", stderr(&output));
    Ok(())
}

#[test]
fn devices_without_half_precision_say_so() -> Outcome {
    let folder = folder(&file(&small()?))?;
    let on_gl = |precision: &str| {
        let args = [
            "run",
            "--weights",
            "w",
            "--input",
            "in",
            "--output",
            "out",
            "--adapter",
            "(gl,",
            "--precision",
        ];
        run(bottleneck().args(args).arg(precision).current_dir(folder.0.path()))
    };
    if on_gl("f32")?.status.code() != Some(0) {
        loudly("SKIPPED: no OpenGL here");
        return Ok(());
    }
    assert_eq!(complaint(&on_gl("f16")?, 2, &["SHADER_F16"]), None);
    assert_eq!(on_gl("auto")?.status.code(), Some(0));
    Ok(())
}

#[test]
fn verify_compares_block_by_block() -> Outcome {
    if !has_half()? {
        return Ok(());
    }
    let folder = folder(&file(&small()?))?;
    let verify = |more: &[&str]| {
        run(bottleneck()
            .args(["verify", "--weights", "w", "--generate", "3"])
            .args(more)
            .current_dir(folder.0.path()))
    };
    let report: serde_json::Value = serde_json::from_slice(&verify(&["--json"])?.stdout)?;
    let names: Vec<&str> = report["tensors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| t["name"].as_str())
        .collect();
    assert_eq!(names, ["stem", "layer1.0", "layer1", "layer2", "pooled", "logits"]);
    for tensor in report["tensors"].as_array().into_iter().flatten() {
        let number = |key: &str| tensor[key].as_f64().unwrap_or(f64::NAN);
        assert!(number("largest_error") > 0.0 && number("largest_error") < 1e-2, "{tensor}");
        assert!(number("cosine") > 0.9995 && number("mean_error") < 1e-2, "{tensor}");
    }
    assert_eq!((&report["pictures"], &report["top5_of"]), (&3.into(), &15.into()));
    let shown = text(&verify(&[])?.stdout);
    assert!(shown.contains("layer1.0") && shown.contains("top-1 agrees on"), "{shown}");
    // Images are either given or made up.
    assert_eq!(complaint(&verify(&["pictures"])?, 2, &["--generate"]), None);
    Ok(())
}
