//! `bottleneck bench --weights`: networks and blocks out of files.

use serde_json::{Value, json};
use wgpu_bottleneck::ResNet;
use wgpu_bottleneck::network::BlockKind;

use super::bench;
use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::common::seeded_network::file;
use crate::program::{Folder, Result, complaint, stderr, text, weights};

/// A network that a software driver runs in milliseconds.
fn tiny() -> Result<ResNet> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5);
    Ok(builder.classes(Some(4)).build()?)
}

/// A folder with that network as `w`, and the path of it.
fn folder() -> Result<(Folder, String)> {
    let folder = Folder::with(&file(&tiny()?), b"")?;
    let path = folder.path("w").display().to_string();
    Ok((folder, path))
}

fn reported(args: &[&str]) -> Result<Value> {
    let output = bench(&[&["bench", "--quick", "--json"], args].concat())?;
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_network_of_a_file_is_measured() -> Outcome {
    let (folder, path) = folder()?;
    let report = reported(&["--weights", &path, "--batch", "1,2", "--size", "33x40"])?;
    let workloads = report["workloads"].as_array().ok_or("no list")?;
    assert_eq!(workloads.len(), 2);
    for (workload, (name, batch)) in workloads.iter().zip([("w", 1), ("w_b2", 2)]) {
        assert_eq!((&workload["name"], &workload["weights"]), (&json!(name), &json!(path)));
        assert_eq!(workload["what"], tiny()?.to_string());
        assert_eq!(workload["input"], json!([batch, 3, 33, 40]));
        assert!(
            workload["checked_against"].as_str().is_some_and(|what| what.contains("reference")),
            "{workload:#}"
        );
        assert!(workload["median_ms"].as_f64() > Some(0.0), "{workload:#}");
    }
    // The configuration gives settings and size; options come first.
    let config = r#"{"wgpu_bottleneck": {"stride_in": "1x1"},
        "pretrained_cfg": {"input_size": [3, 48, 48], "mean": [0, 0, 0], "std": [1, 1, 1]}}"#;
    std::fs::write(folder.path("config.json"), config)?;
    let flops = |args: &[&str]| -> Result<(Value, u64)> {
        let report = reported(&[&["--weights", &path], args].concat())?;
        let workload = &report["workloads"][0];
        Ok((workload["input"].clone(), workload["flops"].as_u64().ok_or("no FLOPs")?))
    };
    let ((input, v1), (_, v15)) = (flops(&[])?, flops(&["--stride-in", "3x3"])?);
    assert_eq!(input, json!([1, 3, 48, 48]));
    assert!(v1 < v15, "{v1} {v15}");
    Ok(())
}

#[test]
fn a_block_of_a_file_is_measured() -> Outcome {
    let (_network, path) = folder()?;
    let report =
        reported(&["--weights", &path, "--prefix", "layer2.0.", "--stride", "2", "--size", "9"])?;
    let workload = &report["workloads"][0];
    assert_eq!((&workload["name"], &workload["weights"]), (&json!("w:layer2.0"), &json!(path)));
    assert_eq!(workload["input"], json!([1, 16, 9, 9]));
    assert_eq!(workload["what"], "Bottleneck 16 -> 32, width 8, stride 2, downsample");

    let block = Folder::with(&weights().bytes(), b"")?;
    let path = block.path("w").display().to_string();
    let table = bench(&["bench", "--quick", "--weights", &path, "--stride", "2", "--size", "5x7"])?;
    assert_eq!(table.status.code(), Some(0), "{}", stderr(&table));
    assert!(text(&table.stdout).contains("Bottleneck 8 -> 16"), "{}", text(&table.stdout));
    Ok(())
}

#[test]
fn what_cannot_be_measured_is_named() -> Outcome {
    let (folder, path) = folder()?;
    let write = |name: &str, bytes: &[u8]| -> Result<String> {
        std::fs::write(folder.path(name), bytes)?;
        Ok(folder.path(name).display().to_string())
    };
    let mut other = DictBuilder::default();
    other.f32("fc.weight", &[2, 3], &[0.0; 6]);
    let (other, block) = (write("other", &other.bytes())?, write("block", &weights().bytes())?);
    let broken = write("broken", &[])?;
    let mut network = file(&tiny()?);
    let last = network.len() - 4;
    network[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let (nan, w1) = (write("nan", &network)?, write("w1", &file(&tiny()?))?);
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["--weights", &other],
            &["other: neither a block nor a network", "as a block: ", "as a network: ", "--prefix"],
        ),
        (&["--weights", &broken], &["broken: "]),
        (&["--weights", "/nowhere"], &["/nowhere"]),
        (&["--weights", &block, "--stride", "2"], &["block: a block", "--size"]),
        (
            &["--weights", &block, "--stride-in", "1x1"],
            &["--stride-in", "a setting of a network", "block holds a block"],
        ),
        (
            &["--weights", &path, "--stride", "2"],
            &["--stride", "a setting of a block", "w holds a network"],
        ),
        (&["--weights", &path, "--prefix", "backbone."], &["w: ", "backbone.conv1.weight"]),
        (&["--weights", &w1, "--preset", "peers-check"], &["another workload is called w1"]),
        (&["--prefix", "backbone."], &["--weights"]),
    ];
    for (args, says) in cases {
        let output = bench(&[&["bench", "--quick"], args].concat())?;
        assert_eq!(complaint(&output, 2, says), None, "{args:?}");
    }
    // Values are read after the first lines of progress.
    let output = bench(&["bench", "--quick", "--weights", &nan, "--size", "32"])?;
    let said = stderr(&output);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
    assert!(said.contains("nan: tensor ") && said.contains("NaN"), "{said}");
    Ok(())
}
