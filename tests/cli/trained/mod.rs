//! Networks written by `bottleneck train` and read by the other commands without further options.
//! The results must equal PyTorch's.
//!
//! tests/golden/trained.py trained them and recorded PyTorch's outputs for a few images, prepared
//! with Pillow as in `train`.

mod commands;
mod configurations;
mod outputs;
mod sources;
mod training;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::Value;
use wgpu_bottleneck::image::Resize;
use wgpu_bottleneck::network::NormKind;
use wgpu_bottleneck::op::PoolWindows;
use wgpu_bottleneck::plan::Precision;
use wgpu_bottleneck::{
    BlockKind, CheckpointOptions, Gpu, Image, ImagePipeline, LoadOptions, ModelConfig,
    NetworkWeights, Preprocess, ResNet, Source, StateDict, StrideIn,
};

use crate::common::dict::DictBuilder;
use crate::common::{Outcome, golden_dir, seeded_network};
use crate::embed::studio::floats;
use crate::program::{Result, bottleneck, complaint, run, stderr, text};

/// The largest error allowed, relative to the largest value.
const TOLERANCE: f64 = 1e-5;
/// The runs on which every command is tested.
const RUNS: [&str; 7] = ["plain", "crops_at_224", "dilated", "eps", "identity", "frozen", "caffe"];
const CLASSES: [&str; 4] = ["none", "period03", "period06", "period12"];

fn golden(name: &str) -> PathBuf {
    golden_dir().join("trained").join(name)
}

fn expected(name: &str) -> Result<Value> {
    let all: Value = serde_json::from_str(&std::fs::read_to_string(golden("expected.json"))?)?;
    Ok(all[name].clone())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// The images in the program's order, with their classes.
fn image_files() -> Result<Vec<(PathBuf, usize)>> {
    let mut found = Vec::new();
    for (class, name) in CLASSES.iter().enumerate() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(golden("images").join(name))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<_>>()?;
        files.sort();
        found.extend(files.into_iter().map(|file| (file, class)));
    }
    Ok(found)
}

/// The same images, decoded.
fn images() -> Result<Vec<Image>> {
    Ok(image_files()?
        .iter()
        .map(|(file, _)| Image::open(file))
        .collect::<std::result::Result<_, _>>()?)
}

/// The preprocessing of `train` for this size, independent of any configuration.
fn prepared(size: u64) -> Preprocess {
    let side = size as u32;
    let resize = Resize::Exact { height: side, width: side };
    Preprocess { resize, crop: [side, side], ..Preprocess::imagenet_v1() }
}

/// The options of a run, by name, independent of any configuration.
fn options(name: &str) -> CheckpointOptions {
    let usual = CheckpointOptions::default();
    match name {
        "dilated" => CheckpointOptions { replace_stride_with_dilation: Some(vec![true]), ..usual },
        "eps" => CheckpointOptions { eps: Some(1e-2), ..usual },
        "identity" => CheckpointOptions { norm: Some(NormKind::Identity), ..usual },
        "frozen" => CheckpointOptions { norm: Some(NormKind::FrozenBatchNorm2d), ..usual },
        "caffe" => CheckpointOptions {
            stride_in: Some(StrideIn::Conv1),
            max_pool: Some(PoolWindows::CeilMode),
            ..usual
        },
        _ => usual,
    }
}

#[track_caller]
fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    // f64::max ignores NaN, so count NaN as an infinite error.
    let off = found
        .iter()
        .zip(expected)
        .map(|(a, b)| if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() });
    let error = off.fold(0.0, f64::max);
    assert!(
        largest.is_finite() && error <= TOLERANCE * largest,
        "{what}: off by {:.1e} of the largest value",
        error / largest
    );
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|logit| logit.exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// A temporary folder in which the program runs.
struct Work(tempfile::TempDir);

impl Work {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Copies these files of a run.
    fn copy(&self, name: &str, files: &[&str]) -> Result<PathBuf> {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder)?;
        for file in files {
            std::fs::copy(golden(name).join(file), folder.join(file))?;
        }
        Ok(folder)
    }

    fn command(&self, command: &str, weights: &Path, args: &[&str]) -> Command {
        let mut program = bottleneck();
        program.current_dir(self.0.path()).arg(command).arg("--weights").arg(weights).args(args);
        program
    }

    fn run(&self, command: &str, weights: &Path, args: &[&str]) -> Result<Output> {
        run(&mut self.command(command, weights, args))
    }

    /// Same as `run`, and asserts success.
    fn good(&self, command: &str, weights: &Path, args: &[&str]) -> Result<Output> {
        let output = self.run(command, weights, args)?;
        assert_eq!(output.status.code(), Some(0), "{command} {args:?}: {}", stderr(&output));
        Ok(output)
    }

    /// `classify --json` of the images.
    fn classify(&self, weights: &Path, args: &[&str]) -> Result<Vec<Value>> {
        let images = golden("images").display().to_string();
        let output = self.good("classify", weights, &[&["--json", &images], args].concat())?;
        let verdicts: Value = serde_json::from_slice(&output.stdout)?;
        Ok(verdicts.as_array().cloned().ok_or("no list")?)
    }
}

/// The probabilities of an image, ordered by class.
fn probabilities(verdict: &Value) -> Vec<f64> {
    let mut found: Vec<(u64, f64)> = verdict["classes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|guess| Some((guess["class"].as_u64()?, guess["probability"].as_f64()?)))
        .collect();
    found.sort_by_key(|(class, _)| *class);
    found.into_iter().map(|(_, probability)| probability).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The validation loss of `train --init` with all layers frozen.
fn train_frozen(
    work: &Work,
    weights: &Path,
    out: &str,
    has_norms: bool,
    case: &Value,
) -> Result<f64> {
    let (images, size) = (golden("images"), case["size"].to_string());
    let mut program = bottleneck();
    program
        .current_dir(work.0.path())
        .arg("train")
        .arg("--data")
        .arg(&images)
        .arg("--validation")
        .arg(&images);
    program.args(["--out", out, "--model", "bottleneck", "--depths", "1,1", "--stem-planes", "8"]);
    program.args(["--planes", if out == "hf" { "4,8" } else { "8,12" }, "--size", &size]);
    program.args([
        "--batch", "12", "--epochs", "1", "--lr", "0", "--freeze", "conv1", "--freeze", "layer1",
    ]);
    program.args(["--freeze", "layer2"]).arg("--init").arg(weights);
    if has_norms {
        program.args(["--freeze", "bn1"]);
    }
    let output = run(&mut program)?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    validation(&work.path(out), "validation_loss")
}

/// A value from the last line of log.csv.
fn validation(folder: &Path, column: &str) -> Result<f64> {
    let log = std::fs::read_to_string(folder.join("log.csv"))?;
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(',').collect()).collect();
    let at = lines[0].iter().position(|name| *name == column).ok_or("no such column")?;
    Ok(lines[lines.len() - 1][at].parse()?)
}

/// The weights of a run without metadata.
fn bare(name: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(golden(name).join("model.safetensors"))?;
    let mut dict = DictBuilder::default();
    for (key, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        dict.raw(&key, view.dtype(), view.shape(), view.data().to_vec());
    }
    Ok(dict.bytes())
}

fn config_of(name: &str) -> String {
    golden(name).join("config.json").display().to_string()
}
