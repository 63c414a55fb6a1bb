//! `bottleneck block --train`.

use std::path::PathBuf;

use wgpu_bottleneck::StateDict;

use crate::common::{Outcome, golden_dir};
use crate::program::{Folder, Result, complaint, input, stderr, weights};

/// A golden training step and the arguments that describe its block.
const GOLDEN: [&str; 6] = ["--train", "--prefix", "block", "--stride", "2", "--verify"];

fn folder() -> Result<(Folder, PathBuf)> {
    let path = golden_dir().join("training/s2_odd_downsample.safetensors");
    let bytes = std::fs::read(&path)?;
    Ok((Folder::with(&bytes, &bytes)?, path))
}

#[test]
fn a_training_step_has_pytorchs_numbers_under_its_keys() -> Outcome {
    let (folder, path) = folder()?;
    let golden = StateDict::open(&path)?;
    let momentum = golden.metadata("momentum").ok_or("no momentum")?.to_owned();
    let output = folder.block(&[&GOLDEN[..], &["--momentum", &momentum]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("2 command buffers; verified: forward off"),
        "{}",
        stderr(&output)
    );
    let found = StateDict::open(folder.path("out"))?;
    let expected_key = |key: &str| match key {
        "out" | "grad.input" => key.to_owned(),
        key if key.starts_with("grad.") => key.to_owned(),
        key => format!("after.{key}"),
    };
    let expected = golden
        .keys()
        .filter(|key| *key == "out" || key.starts_with("grad.") || key.starts_with("after."));
    assert_eq!(found.keys().count(), expected.count());
    for key in found.keys() {
        let name = expected_key(key);
        if key.ends_with("num_batches_tracked") {
            assert_eq!(found.counter(key)?, golden.counter(&name)?, "{key}");
            continue;
        }
        let (expected, found) = (golden.tensor(&name)?, found.tensor(key)?);
        assert_eq!(expected.dims, found.dims, "{key}");
        let largest = expected.data.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * largest;
        assert!(expected.data.iter().zip(&found.data).all(near), "{key}");
    }
    Ok(())
}

/// The step of the default run is one that this folder's script made.
#[test]
fn the_bundled_step_is_a_golden_one() -> Outcome {
    let bundled =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo/training.safetensors");
    let golden = golden_dir().join("training/deeplab_rate2_s2_downsample.safetensors");
    assert!(std::fs::read(bundled)? == std::fs::read(golden)?);
    Ok(())
}

#[test]
fn without_a_gradient_there_are_none() -> Outcome {
    let folder = Folder::with(&weights().bytes(), &input().bytes())?;
    let output = folder.block(&["--train", "--stride", "2"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = StateDict::open(folder.path("out"))?;
    let keys: Vec<&str> = found.keys().collect();
    assert!(keys.contains(&"out") && keys.contains(&"bn3.running_var"), "{keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("grad.")), "{keys:?}");
    Ok(())
}

#[test]
fn what_cannot_be_trained_is_refused() -> Outcome {
    let (golden, _) = folder()?;
    let refused = golden.block(&["--prefix", "block", "--momentum", "0.1"])?;
    assert_eq!(complaint(&refused, 2, &["--train"]), None);
    let refused = golden.block(&[&GOLDEN[..], &["--momentum", "1.5"]].concat())?;
    assert_eq!(complaint(&refused, 2, &["from 0 to 1, or none"]), None);
    // One value per channel.
    let pixel = input().f32("input", &[1, 8, 1, 1], &[0.5; 8]).bytes();
    let refused = Folder::with(&weights().bytes(), &pixel)?.block(&["--train", "--stride", "2"])?;
    assert_eq!(complaint(&refused, 2, &["bn1", "more than 1 value per channel"]), None);
    // A gradient of another shape.
    let both = input().f32("grad_out", &[1, 16, 3, 4], &[0.0; 192]).bytes();
    let folder = Folder::with(&weights().bytes(), &both)?;
    let refused = folder.block(&["--train", "--stride", "2"])?;
    assert_eq!(complaint(&refused, 2, &["grad_out", "[2, 16, 3, 4]", "[1, 16, 3, 4]"]), None);
    assert!(!folder.files()?.contains(&"out".to_owned()));
    Ok(())
}
