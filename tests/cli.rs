//! The program as its users run it: exit codes, files, and the two lines that say what is wrong.

#[path = "cli/bench/mod.rs"]
mod bench;
#[path = "cli/checkpoints.rs"]
mod checkpoints;
#[path = "cli/classify.rs"]
mod classify;
mod common;
#[path = "cli/damaged_checkpoints.rs"]
mod damaged_checkpoints;
#[path = "cli/documents.rs"]
mod documents;
#[path = "cli/embed/mod.rs"]
mod embed;
#[cfg(unix)]
#[path = "cli/endless_files.rs"]
mod endless_files;
#[path = "cli/environment.rs"]
mod environment;
#[path = "cli/features.rs"]
mod features;
#[cfg(target_os = "linux")]
#[path = "cli/host_memory.rs"]
mod host_memory;
#[path = "cli/networks.rs"]
mod networks;
#[path = "cli/output_files.rs"]
mod output_files;
#[path = "cli/plans.rs"]
mod plans;
#[path = "cli/precision.rs"]
mod precision;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/refused_files.rs"]
mod refused_files;
#[path = "cli/refused_weights.rs"]
mod refused_weights;
#[path = "cli/selftest.rs"]
mod selftest;
#[path = "cli/shaders.rs"]
mod shaders;
#[path = "cli/train.rs"]
mod train;
#[path = "cli/trained/mod.rs"]
mod trained;
#[path = "cli/training.rs"]
mod training;
#[path = "cli/tune.rs"]
mod tune;
#[path = "cli/untidy.rs"]
mod untidy;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::dict::DictBuilder;
use common::seeded::Seeded;
use common::{Golden, Outcome, golden_dir};
use program::{
    Folder, Result, bottleneck, complaint, good_folder, input, json, run, stderr, text, weights,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use wgpu_bottleneck::StateDict;
use wgpu_bottleneck::tensor::{Tolerance, compare};

/// The arguments that describe a golden block.
fn golden_args(path: &Path) -> Result<Vec<String>> {
    let dict = StateDict::open(path)?;
    let text = |key: &str| dict.metadata(key).ok_or_else(|| format!("no metadata {key}"));
    let dilation = if text("form")? == "deeplab" { "--rate" } else { "--dilation" };
    let pairs = [
        ("--stride", "stride"),
        ("--groups", "groups"),
        ("--base-width", "base_width"),
        (dilation, "dilation"),
        ("--eps", "eps"),
        ("--norm", "norm"),
    ];
    let mut args = vec!["--verify".to_owned()];
    for (flag, key) in pairs {
        args.extend([flag.to_owned(), text(key)?.to_owned()]);
    }
    Ok(args)
}

#[test]
fn golden_blocks_come_out_as_pytorch_says() -> Outcome {
    let mut complaints = Vec::new();
    for (index, golden) in common::goldens()?.into_iter().enumerate() {
        let Golden { name, output: expected, .. } = golden;
        let path = golden_dir().join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path)?;
        let folder = Folder::with(&bytes, &bytes)?;
        let mut args = golden_args(&path)?;
        args.extend(["--plan".to_owned(), ["fused", "unfused"][index % 2].to_owned()]);
        let output = folder.block(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        if output.status.code() != Some(0) || !output.stdout.is_empty() {
            complaints.push(format!("{name}: {}\n{}", output.status, stderr(&output)));
            continue;
        }
        // 1e-5 of the largest value; the kernels may be Winograd's.
        let comparison = compare(&expected, &folder.out()?, Tolerance::TRANSFORMED);
        complaints.extend((!comparison.passed()).then(|| format!("{name}: {comparison}")));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}

/// What cannot be had is an error and never another adapter: 2 where it was asked for, 4 where
/// there is no GPU at all.
#[test]
fn environment_variables_are_heeded() -> Outcome {
    let cases = [
        (vec![("WGPU_BACKEND", "vulcan")], 2, "WGPU_BACKEND=vulcan"),
        (vec![("WGPU_POWER_PREF", "medium")], 2, "WGPU_POWER_PREF=medium"),
        (vec![("WGPU_ADAPTER_NAME", "no such adapter")], 2, "no such adapter"),
        (
            vec![("WGPU_BACKEND", "vulkan"), ("VK_DRIVER_FILES", "/nowhere.json")],
            4,
            "WGPU_BACKEND=vulkan",
        ),
    ];
    for (variables, code, said) in cases {
        let folder = good_folder()?;
        let output = run(folder.block_command(&["--stride", "2"]).envs(variables.iter().copied()))?;
        assert_eq!(complaint(&output, code, &[said]), None);
        assert_eq!(folder.files()?, ["in", "w"], "{said}");
    }
    Ok(())
}

/// Half-precision weights and the same values widened to f32 must give the same file.
#[test]
fn half_precision_weights_are_read() -> Outcome {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let (mut narrow, mut wide) = (weights(), weights());
        let source = weights().bytes();
        for (key, view) in SafeTensors::deserialize(&source)?.tensors() {
            if view.dtype() != Dtype::F32 {
                continue;
            }
            let values = view.data().as_chunks::<4>().0.iter().map(|&raw| f32::from_le_bytes(raw));
            let (bytes, values): (Vec<[u8; 2]>, Vec<f32>) = match dtype {
                Dtype::F16 => {
                    values.map(half::f16::from_f32).map(|v| (v.to_le_bytes(), v.to_f32())).unzip()
                }
                _ => {
                    values.map(half::bf16::from_f32).map(|v| (v.to_le_bytes(), v.to_f32())).unzip()
                }
            };
            narrow.raw(&key, dtype, view.shape(), bytes.concat());
            wide.f32(&key, view.shape(), &values);
        }
        let (narrow, wide) = (
            Folder::with(&narrow.bytes(), &input().bytes())?,
            Folder::with(&wide.bytes(), &input().bytes())?,
        );
        for folder in [&narrow, &wide] {
            let output = folder.block(&["--stride", "2", "--verify"])?;
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        }
        assert_eq!(std::fs::read(narrow.path("out"))?, std::fs::read(wide.path("out"))?);
    }
    Ok(())
}

#[test]
fn a_prefix_takes_one_block_of_a_network() -> Outcome {
    let plain = good_folder()?;
    assert!(plain.block(&["--stride", "2"])?.status.success());
    let (source, mut network) = (weights().bytes(), weights());
    for (key, view) in SafeTensors::deserialize(&source)?.tensors() {
        network.raw(&format!("layer2.0.{key}"), view.dtype(), view.shape(), view.data().to_vec());
    }
    // The unprefixed block becomes another one, so that taking it would show.
    network.poke("conv1.weight", 0, 99.0);
    let folder = Folder::with(&network.bytes(), &input().bytes())?;
    for prefix in ["layer2.0.", "layer2.0"] {
        let output = folder.block(&["--stride", "2", "--prefix", prefix, "--plan", "fused"])?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(std::fs::read(plain.path("out"))?, std::fs::read(folder.path("out"))?);
    }
    Ok(())
}

#[test]
fn plans_norms_and_kernels_can_be_chosen() -> Outcome {
    let folder = good_folder()?;
    assert!(folder.block(&["--stride", "2"])?.status.success());
    let fused = folder.out()?;
    let w = folder.path("w").display().to_string();
    let plan = json(&["plan", "--weights", &w, "--stride", "2", "--shape", "2,8,5,7", "--json"])?;
    let kernel = plan["steps"][1]["dispatches"][0]["kernel"].as_str().ok_or("no kernel")?;
    for args in [
        &["--plan", "unfused"][..],
        &["--norm", "frozen"],
        &["--kernel", kernel],
        &["--groups", "2", "--base-width", "32"],
    ] {
        let output = folder.block(&[&["--stride", "2", "--verify"], args].concat())?;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        let comparison = compare(&fused, &folder.out()?, Tolerance::relative(1e-6));
        assert!(comparison.passed(), "{args:?}: {comparison}");
    }
    Ok(())
}

/// A block whose third convolution takes the difference of two nearly equal values a million times:
/// f32 cannot hold it.
#[test]
fn a_failed_verification_writes_nothing() -> Outcome {
    let (mut dict, mut random) = (DictBuilder::default(), Seeded::new(3));
    let row: Vec<f32> = (0..4).map(|_| 0.3 + random.below(1000) as f32 / 1000.0).collect();
    let near: Vec<f32> = row.iter().map(|value| value * 1.000_001).collect();
    let mut centre = [0.0; 2 * 2 * 9];
    (centre[4], centre[31]) = (1.0, 1.0);
    dict.f32("conv1.weight", &[2, 4, 1, 1], &[near, row].concat());
    dict.f32("conv2.weight", &[2, 2, 3, 3], &centre);
    dict.f32("conv3.weight", &[8, 2, 1, 1], &[1e6, -1e6].repeat(8));
    dict.f32("downsample.0.weight", &[8, 4, 1, 1], &[0.0; 32]);
    let mut image = DictBuilder::default();
    image.f32(
        "input",
        &[1, 4, 4, 4],
        &(0..64).map(|_| 0.1 + random.below(1000) as f32 / 1000.0).collect::<Vec<_>>(),
    );
    let folder = Folder::with(&dict.bytes(), &image.bytes())?;
    let output = folder.block(&["--norm", "identity", "--verify"])?;
    assert_eq!(complaint(&output, 1, &["verification failed", "largest error"]), None);
    assert_eq!(folder.files()?, ["in", "w"]);
    assert_eq!(folder.block(&["--norm", "identity"])?.status.code(), Some(0));
    Ok(())
}

#[test]
fn the_output_file_is_an_ordinary_one() -> Outcome {
    let folder = good_folder()?;
    std::fs::write(folder.path("out"), "what was there before")?;
    let output = folder.block(&["--stride", "2", "--verify"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(folder.files()?, ["in", "out", "w"]);
    let said = stderr(&output);
    for part in [
        "[2, 8, 5, 7] -> [2, 16, 3, 4]",
        "3 steps, 3 dispatches, 1 command buffer",
        "largest error",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let bytes = std::fs::read(folder.path("out"))?;
    let parsed = SafeTensors::deserialize(&bytes)?;
    assert_eq!((parsed.names(), parsed.tensor("out")?.dtype()), (vec!["out"], Dtype::F32));
    Ok(())
}

#[cfg(unix)]
#[test]
fn the_output_file_has_the_permissions_that_the_umask_leaves() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let folder = good_folder()?;
    let script = "umask 027; exec \"$0\" block --stride 2 --weights w --input in --output out";
    let mut shell = Command::new("sh");
    let output = run(shell
        .args(["-c", script, env!("CARGO_BIN_EXE_bottleneck")])
        .current_dir(folder.0.path()))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mode = || -> Result<u32> {
        Ok(std::fs::metadata(folder.path("out"))?.permissions().mode() & 0o777)
    };
    assert_eq!(mode()?, 0o640);
    // A file that is there keeps its permissions, and a link to it stays a link.
    std::fs::set_permissions(folder.path("out"), PermissionsExt::from_mode(0o604))?;
    std::fs::rename(folder.path("out"), folder.path("target"))?;
    std::os::unix::fs::symlink("target", folder.path("out"))?;
    assert!(folder.block(&["--stride", "2"])?.status.success());
    assert!(std::fs::symlink_metadata(folder.path("out"))?.is_symlink());
    assert_eq!(mode()?, 0o604);
    // What is no file (a device, a pipe) is never replaced by one.
    let script =
        script.replace("--output out", "--output pipe").replace("exec", "mkfifo pipe; exec");
    let mut shell = Command::new("sh");
    let output = run(shell
        .args(["-c", &script, env!("CARGO_BIN_EXE_bottleneck")])
        .current_dir(folder.0.path()))?;
    assert_eq!(complaint(&output, 2, &["regular file"]), None);
    Ok(())
}

#[test]
fn plans_are_shown() -> Outcome {
    let folder = good_folder()?;
    let [w, input] = ["w", "in"].map(|name| folder.path(name).display().to_string());
    let base = ["plan", "--weights", &w, "--stride", "2"];
    let from_shape = json(&[&base[..], &["--shape", "2,8,5,7", "--json"]].concat())?;
    assert_eq!(from_shape, json(&[&base[..], &["--input", &input, "--json"]].concat())?);
    let count = |plan: &Value| plan["steps"].as_array().map(Vec::len);
    assert_eq!((count(&from_shape), &from_shape["command_buffers"]), (Some(3), &1.into()));
    assert_eq!(
        (&from_shape["dispatches"], &from_shape["output"]),
        (&3.into(), &vec![2, 16, 3, 4].into())
    );
    // The second convolution is the strided one: 7 columns in, 4 out.
    let params = &from_shape["steps"][1]["dispatches"][0]["params"];
    assert_eq!(
        [&params["in_width"], &params["out_width"], &params["stride"]],
        [7, 4, 2],
        "{params}"
    );
    let unfused =
        json(&[&base[..], &["--shape", "2,8,5,7", "--plan", "unfused", "--json"]].concat())?;
    assert_eq!((count(&unfused), &unfused["command_buffers"]), (Some(9), &1.into()));
    assert_eq!(from_shape["conv_flops"], unfused["conv_flops"]);

    let output = run(bottleneck().args(base).args(["--shape", "2,8,5,7", "--adapter", "0"]))?;
    let shown = text(&output.stdout);
    for part in [
        "fused plan",
        "3 steps, 3 dispatches, 1 command buffer",
        "block0.conv2",
        "conv3x3_grouped_",
        "slot",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    Ok(())
}

#[test]
fn devices_are_listed() -> Outcome {
    let devices = json(&["devices", "--json"])?;
    let devices = devices.as_array().ok_or("no array")?;
    assert!(!devices.is_empty());
    for (index, device) in devices.iter().enumerate() {
        assert_eq!(device["index"], index);
        assert!(device["limits"]["binding_bytes"].as_u64() >= Some(128 << 20), "{device}");
        let feature = &device["features"]["SUBGROUP"];
        assert_eq!(
            feature["why_off"].is_null(),
            feature["used"].as_bool() == Some(true),
            "{device}"
        );
        let name = device["name"].as_str().ok_or("no name")?;
        let listed = text(&run(bottleneck().arg("devices"))?.stdout);
        assert!(listed.contains(&format!("{index}: {name}")), "{listed}");
    }
    Ok(())
}

#[test]
fn colours_and_logs_obey_the_environment() -> Outcome {
    let folder = good_folder()?;
    let w = folder.path("w").display().to_string();
    let args = ["plan", "--weights", &w, "--stride", "2", "--shape", "1,8,4,4", "--adapter", "0"];
    // CLICOLOR_FORCE stands in for a terminal: colours are on then, unless NO_COLOR says otherwise.
    let coloured = |command: &mut Command| run(command.args(args).env("CLICOLOR_FORCE", "1"));
    assert!(text(&coloured(&mut bottleneck())?.stdout).contains('\u{1b}'));
    let plain = coloured(bottleneck().env("NO_COLOR", "1"))?;
    assert!(!text(&[plain.stdout, plain.stderr].concat()).contains('\u{1b}'));
    assert!(!text(&run(bottleneck().args(args))?.stdout).contains('\u{1b}'));

    assert_eq!(stderr(&run(bottleneck().args(args).env("RUST_LOG", "off"))?), "");
    assert!(stderr(&run(bottleneck().args(args).env("RUST_LOG", "debug"))?).lines().count() > 1);
    Ok(())
}

/// Mesa's Vulkan layer for device selection would print an error before the program's first line.
#[test]
fn no_driver_prints_without_a_runtime_folder() -> Outcome {
    for folder in [None, Some(""), Some("relative"), Some("/nonexistent")] {
        let mut command = bottleneck();
        command.args(["devices", "--json"]).env("RUST_LOG", "off");
        match folder {
            Some(folder) => command.env("XDG_RUNTIME_DIR", folder),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        let output = run(&mut command)?;
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{folder:?}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_failure() -> Outcome {
    use std::process::Stdio;
    for args in [&["devices"][..], &["--help"]] {
        let mut child =
            bottleneck().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop(child.stdout.take());
        let output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(!stderr(&output).contains("panic"), "{}", stderr(&output));
    }
    Ok(())
}

/// The main job. Without optimisation the reference would take minutes, so only release tests run
/// it.
#[test]
fn the_default_run_is_right() -> Outcome {
    if cfg!(debug_assertions) {
        writeln!(std::io::stderr(), "SKIPPED: the default run, in a build without optimisation")?;
        return Ok(());
    }
    let output = run(&mut bottleneck())?;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    for part in [
        "adapter  ",
        "driver  ",
        "DeepLab",
        "layer2.0",
        "GFLOP/s",
        "record us",
        "All results are correct.",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for part in ["output (batch statistics)", "running statistics", "gradients of the parameters"] {
        assert!(
            shown.lines().any(|line| line.contains(part) && line.ends_with("ok")),
            "{part}: {shown}"
        );
    }
    // A share for each of ten plans, of a ceiling that is a number.
    let shares = shown.lines().filter(|line| line.contains(" % ") || line.ends_with(" %"));
    let shares = shares.filter(|line| line.contains("fused")).count();
    assert!(
        shares == 10 && shown.contains(" of FMA") && !shown.contains("inf"),
        "{shares}: {shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown}");
    Ok(())
}
