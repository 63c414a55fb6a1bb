//! `bottleneck train`: what it writes, what it refuses, and runs that are killed.

use std::collections::HashMap;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use wgpu_bottleneck::{CheckpointOptions, NetworkWeights, StateDict};

use crate::common::Outcome;
use crate::common::seeded::Seeded;
use crate::embed::studio::Studio;
#[cfg(unix)]
use crate::program::signal;
use crate::program::{Result, bottleneck, complaint, run, stderr};

/// A tiny network on tiny images: three epochs of seven batches.
const TINY: [[&str; 2]; 11] = [
    ["--data", "p"],
    ["--model", "bottleneck"],
    ["--depths", "1,1"],
    ["--planes", "4,6"],
    ["--stem-planes", "5"],
    ["--size", "36"],
    ["--epochs", "3"],
    ["--batch", "8"],
    ["--lr", "0.05"],
    ["--warmup", "0.5"],
    ["--seed", "3"],
];

/// The command with arguments that take the place of those above.
pub fn command(studio: &Studio, out: &str, args: &[&str]) -> Command {
    let mut command = bottleneck();
    command.current_dir(studio.0.path()).args(["train", "--out", out]).args(args);
    let given = |name: &str| args.iter().any(|arg| arg.split('=').next() == Some(name));
    for [name, value] in TINY.into_iter().filter(|[name, _]| !given(name)) {
        command.args([name, value]);
    }
    command
}

pub fn train(studio: &Studio, out: &str, args: &[&str]) -> Result<Output> {
    let output = run(&mut command(studio, out, args))?;
    Ok(output)
}

pub fn begun(studio: &Studio, out: &str, args: &[&str]) -> Result<Child> {
    Ok(command(studio, out, args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?)
}

/// A checkpoint with other texts in its metadata and without a checksum, as in version 0.1.0.
pub fn without_checksum(
    bytes: &[u8],
    change: impl Fn(&mut HashMap<String, String>),
) -> Result<Vec<u8>> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let mut texts = header.metadata().clone().ok_or("no metadata")?;
    texts.remove("checksum").ok_or("no checksum")?;
    change(&mut texts);
    let tensors: Vec<(String, TensorView)> = SafeTensors::deserialize(bytes)?.tensors();
    Ok(safetensors::serialize(tensors, Some(texts))?)
}

#[test]
fn a_run_writes_a_network_a_log_and_curves() -> Outcome {
    let studio = Studio::with(60)?;
    let output = train(
        &studio,
        "out",
        &["--validation", "p", "--nesterov", "--label-smoothing", "0.1", "--accumulate", "2"],
    )?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("epoch 3 of 3: rate"), "{}", stderr(&output));
    let weights =
        NetworkWeights::open(studio.path("out/model.safetensors"), &CheckpointOptions::default())?;
    assert_eq!((weights.spec().classes(), weights.spec().planes()), (Some(3), &[4, 6][..]));
    let log = std::fs::read_to_string(studio.path("out/log.csv"))?;
    assert_eq!(log.lines().count(), 4, "{log}");
    assert!(
        log.starts_with(
            "epoch,steps,rate,loss,accuracy,validation_loss,validation_accuracy,\
                pictures_per_second\n1,3,"
        ),
        "{log}"
    );
    assert!(std::fs::read_to_string(studio.path("out/curves.svg"))?.contains("<polyline"));
    // PyTorch's keys, and what the run goes on from beside them.
    let checkpoint = StateDict::open(studio.path("out/checkpoint.safetensors"))?;
    assert!(checkpoint.dims("layer1.0.bn3.running_var").is_some());
    assert!(checkpoint.dims("optimizer.momentum_buffer.layer2.0.conv2.weight").is_some());
    assert_eq!(
        (checkpoint.metadata("epoch"), checkpoint.metadata("steps")),
        (Some("3"), Some("9"))
    );
    let hidden = std::fs::read_dir(studio.path("out"))?
        .filter_map(|entry| entry.ok())
        .map(|entry| entry.file_name());
    assert!(hidden.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
    Ok(())
}

/// Killed at ten random moments and resumed, a run ends with the bytes of one that nobody
/// disturbed.
#[test]
fn a_killed_run_goes_on_to_the_same_bits() -> Outcome {
    let studio = Studio::with(60)?;
    let adamw = ["--optimizer", "adamw", "--recompute", "--accumulate", "2"];
    for (name, further) in [("sgd", &[][..]), ("adamw", &adamw)] {
        let args = [&["--epochs", "12", "--checkpoint-every", "1"], further].concat();
        let (whole, killed) = (format!("whole-{name}"), format!("killed-{name}"));
        let output = train(&studio, &whole, &args)?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let resumed = [&args, &["--resume"][..]].concat();
        let checkpoint = studio.path(&killed).join("checkpoint.safetensors");
        let written = || std::fs::metadata(&checkpoint).and_then(|about| about.modified()).ok();
        let mut random = Seeded::new(11);
        for kill in 0..10 {
            let (before, mut child) = (written(), begun(&studio, &killed, &resumed)?);
            // Every other time while it starts; else somewhere behind its first checkpoint.
            while kill % 2 == 1 && written() == before {
                assert!(child.try_wait()?.is_none(), "{name}: done after {kill} kills");
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            assert!(child.try_wait()?.is_none(), "{name}: done after {kill} kills");
            child.kill()?;
            child.wait()?;
        }
        let output = train(&studio, &killed, &resumed)?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains("resuming from epoch"), "{}", stderr(&output));
        same_results(&studio, &whole, &killed)?;
    }
    Ok(())
}

/// Fails unless two runs have the same networks, states and logs, but for how fast they went.
pub fn same_results(studio: &Studio, whole: &str, killed: &str) -> Outcome {
    let read = |folder: &str, name: &str| std::fs::read(studio.path(folder).join(name)).ok();
    for name in ["model.safetensors", "best.safetensors", "checkpoint.safetensors", "config.json"] {
        assert!(read(whole, name) == read(killed, name), "{killed}: {name} is not the same");
    }
    let columns = |folder: &str| -> Result<Vec<String>> {
        let log = std::fs::read_to_string(studio.path(folder).join("log.csv"))?;
        let lines = log.lines().filter_map(|line| line.rsplit_once(','));
        Ok(lines.map(|(rest, _)| rest.to_owned()).collect())
    };
    assert_eq!(columns(whole)?, columns(killed)?);
    Ok(())
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint_to_go_on_from() -> Outcome {
    let studio = Studio::with(60)?;
    let long = ["--epochs", "200"];
    let child = begun(&studio, "out", &long)?;
    while !studio.path("out/checkpoint.safetensors").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "-INT")?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    assert_eq!(
        complaint(&train(&studio, "out", &long)?, 2, &["checkpoint.safetensors", "--resume"]),
        None
    );
    // Other settings are another run.
    assert_eq!(
        complaint(
            &train(&studio, "out", &["--resume", "--epochs", "199"])?,
            2,
            &["other settings: epochs was 200, and is 199 now"]
        ),
        None
    );
    Ok(())
}

#[test]
fn what_cannot_be_trained_is_refused() -> Outcome {
    let studio = Studio::with(30)?;
    std::fs::create_dir(studio.path("empty"))?;
    let refused = |args: &[&str], parts: &[&str]| -> Outcome {
        let output = train(&studio, "out", args)?;
        assert_eq!(complaint(&output, 2, parts), None, "{args:?}: {}", stderr(&output));
        assert!(!studio.path("out/model.safetensors").exists());
        Ok(())
    };
    refused(&["--data", "empty"], &["empty", "two classes"])?;
    refused(&["--data", "nothing"], &["nothing"])?;
    refused(&["--batch", "64"], &["30 images", "64"])?;
    refused(&["--freeze", "layer7"], &["no part layer7"])?;
    refused(&["--crop", "0.5,0.1"], &["--crop"])?;
    refused(&["--flip", "2"], &["--flip"])?;
    refused(&["--lr=-1"], &["--lr"])?;
    refused(&["--model", "resnet51"], &["resnet51", "resnet50"])?;
    refused(&["--planes", "4"], &["planes"])?;
    refused(&["--init", "config.json"], &["config.json"])?;
    // An image that is none names itself.
    std::fs::write(studio.path("p/1/broken.png"), "no picture")?;
    refused(&["--strict"], &["error: p/1/broken.png: not a readable image", "--strict"])
}

/// A network for other classes begins with the weights of a file, its linear layer anew; frozen
/// parts stay as they are.
#[test]
fn a_file_is_fine_tuned() -> Outcome {
    let studio = Studio::with(60)?;
    assert_eq!(train(&studio, "first", &["--epochs", "1"])?.status.code(), Some(0));
    for class in ["3", "4"] {
        std::fs::create_dir(studio.path("p").join(class))?;
        let (from, to) = (studio.path("p/0/000.png"), studio.path("p").join(class).join("000.png"));
        std::fs::copy(from, to)?;
    }
    let args = [
        "--init",
        "first/model.safetensors",
        "--freeze",
        "conv1",
        "--freeze",
        "bn1",
        "--freeze",
        "layer1",
        "--epochs",
        "1",
    ];
    let output = train(&studio, "second", &args)?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [first, second] = ["first", "second"]
        .map(|folder| StateDict::open(studio.path(folder).join("model.safetensors")));
    let (first, second) = (first?, second?);
    for key in
        first.keys().filter(|key| !key.starts_with("fc.") && !key.ends_with("num_batches_tracked"))
    {
        let same = first.tensor(key)? == second.tensor(key)?;
        assert_eq!(same, !key.starts_with("layer2"), "{key}");
    }
    assert_eq!(second.dims("fc.weight"), Some(&[5, 24][..]));
    // A network of other depths is another network, and what is begun with is not written over.
    let init = ["--init", "first/model.safetensors"];
    let output =
        train(&studio, "third", &[&init[..], &["--depths", "1", "--planes", "4"]].concat())?;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("depths [1, 1]"), "{}", stderr(&output));
    std::fs::remove_file(studio.path("first/checkpoint.safetensors"))?;
    let output = train(&studio, "first", &init)?;
    assert_eq!(
        complaint(
            &output,
            2,
            &["first already contains model.safetensors, config.json", "another --out"]
        ),
        None,
        "{}",
        stderr(&output)
    );
    // The same holds for the network of another run.
    let output = train(&studio, "first", &[])?;
    assert_eq!(
        complaint(&output, 2, &["first already contains model.safetensors, config.json"]),
        None,
        "{}",
        stderr(&output)
    );
    Ok(())
}
