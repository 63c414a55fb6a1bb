//! `bottleneck bench`: what it prints, what it refuses.

mod compare;
mod files;
mod origin;
mod weights;

use std::process::Output;

use serde_json::{Value, json};
use wgpu_bottleneck::kernel::{Kernel, all_candidates};
use wgpu_bottleneck::{Gpu, GpuOptions};

use crate::common::{Outcome, loudly};
use crate::program::{Folder, Result, bottleneck, complaint, run, stderr, text};

/// A block that takes no time.
const SMALL: [&str; 9] =
    ["bench", "--quick", "--block", "--inplanes", "16", "--planes", "4", "--size", "6x5"];

fn bench(args: &[&str]) -> Result<Output> {
    run(bottleneck().args(args))
}

/// The report of a small block with more arguments.
fn report(args: &[&str]) -> Result<Value> {
    let output = bench(&[&SMALL[..], &["--json"], args].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A file for `--compare`.
fn write(folder: &Folder, name: &str, value: &Value) -> Result<String> {
    std::fs::write(folder.path(name), value.to_string())?;
    Ok(folder.path(name).display().to_string())
}

/// Inputs of 16 TB and 105 TB.
#[test]
fn inputs_larger_than_the_memory_are_refused() -> Outcome {
    let block = ["bench", "--quick", "--block", "--inplanes", "4", "--planes", "1"];
    for [size, batch] in [["1000000x1000000", "1"], ["10000x10000", "65536"]] {
        let output = bench(&[&block[..], &["--size", size, "--batch", batch]].concat())?;
        let said = stderr(&output);
        let last = said.lines().last().unwrap_or_default();
        let is_named = last.starts_with("error: ") && last.contains("bytes of host memory");
        assert!(output.status.code() == Some(4) && is_named, "{size}, {batch}: {said}");
    }
    Ok(())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn json_has_every_number() -> Outcome {
    let report = report(&["--batch", "1,3"])?;
    assert_eq!(report["schema"], "wgpu-bottleneck bench 2");
    assert!(report["device"]["name"].is_string() && report["quick"] == true, "{report:#}");
    let positive =
        |value: &Value| value.as_f64().is_some_and(|number| number > 0.0 && number.is_finite());
    for ceiling in ["fma_gflops", "copy_gbps", "empty_dispatch_us"] {
        assert!(positive(&report["ceilings"][ceiling]), "{ceiling}: {report:#}");
    }
    let (barrier, noise) =
        (&report["ceilings"]["barrier_us"], &report["ceilings"]["barrier_noise_us"]);
    let noise = noise.as_f64().ok_or("no noise")?;
    assert!(
        barrier.is_null() || barrier.as_f64().is_some_and(|us| us > noise && noise >= 0.0),
        "{report:#}"
    );
    let workloads = report["workloads"].as_array().ok_or("no list")?;
    assert_eq!(workloads.len(), 2);
    for (workload, (name, batch)) in workloads.iter().zip([("block", 1), ("block_b3", 3)]) {
        assert_eq!(
            (&workload["name"], &workload["input"]),
            (&json!(name), &json!([batch, 16, 6, 5]))
        );
        // Three convolutions: 16 to 4, 4 to 4 by 3x3, 4 to 16, on 30 pixels.
        assert_eq!(workload["flops"], 2 * 30 * batch * (16 * 4 + 9 * 4 * 4 + 4 * 16));
        for number in [
            "bytes",
            "intensity",
            "median_ms",
            "device_ms",
            "gflops",
            "executed_flops",
            "executed_gflops",
            "gbps",
        ] {
            assert!(positive(&workload[number]), "{number}: {workload:#}");
        }
        // --quick measures the ceilings too briefly.
        for share in ["share_of_fma", "share_of_matrix", "share_of_copy", "share_of_roof"] {
            assert!(workload.get(share).is_some_and(Value::is_null), "{share}: {workload:#}");
        }
        let block = &workload["blocks"][0];
        assert!(block["roof_ms"].is_null(), "{block:#}");
        let steps = block["steps"].as_array().ok_or("no steps")?;
        let names: Vec<&Value> = steps.iter().map(|step| &step["name"]).collect();
        assert_eq!(
            (&block["name"], &names[..]),
            (
                &json!("block0"),
                &[&json!("block0.conv1"), &json!("block0.conv2"), &json!("block0.conv3")][..]
            )
        );
        assert_eq!(workload["flops"], block["flops"]);
        let dispatches: Vec<&Value> =
            steps.iter().flat_map(|step| step["dispatches"].as_array()).flatten().collect();
        assert!(
            dispatches.len() >= 3 && dispatches.iter().all(|one| one["kernel"].is_string()),
            "{block:#}"
        );
        assert_eq!(report["timestamps"].is_null(), workload["gpu_ms"].is_null(), "{report:#}");
        if !workload["gpu_ms"].is_null() {
            let timed = [workload, block].into_iter().chain(steps).chain(dispatches);
            assert!(timed.map(|timed| &timed["gpu_ms"]).all(positive), "{workload:#}");
        }
        assert!(
            workload["largest_error"].as_f64().is_some_and(|error| error < 1e-5),
            "{workload:#}"
        );
    }
    Ok(())
}

#[test]
fn tables_and_csv_are_printed() -> Outcome {
    let output = bench(&[&SMALL[..], &["--steps", "--plan", "unfused"]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    let parts = [
        "run ",
        "machine ",
        "device ",
        "ceilings ",
        "Bottleneck 16 -> 16, width 4",
        "block0.bn1",
        "batchnorm_relu",
    ];
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let why = "no shares of the ceilings";
    assert!(said.contains(why) && !said.contains("of roof") && !said.contains('%'), "{said}");
    let output = bench(&[&SMALL[..], &["--csv"]].concat())?;
    assert!(stderr(&output).contains(why), "{}", stderr(&output));
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with("workload,what,n,c,h,w,flops,executed_flops,bytes,"),
        "{said}"
    );
    assert!(lines[1].starts_with("block,\"Bottleneck 16 -> 16, width 4\",1,16,6,5,"), "{said}");
    Ok(())
}

/// A report compares the speed of matrix units with their ceiling, on devices that have them. This
/// is a full run, as --quick has no shares.
#[test]
fn of_matrix_units() -> Outcome {
    let capabilities =
        *Gpu::with_options(&GpuOptions { matrices: true, ..GpuOptions::default() })?.capabilities();
    let runs = |kernel: &&Kernel| kernel.matrix_side > 0 && kernel.runs_on(&capabilities).is_ok();
    let kernel =
        all_candidates().iter().find(runs).map(|kernel| format!("_m{}_", kernel.matrix_side));
    let Some(kernel) = kernel else {
        loudly("SKIPPED: no matrix units here");
        let report = report(&["--precision", "f32", "--kernel", "conv1x1"])?;
        assert!(report["ceilings"]["matrix_gflops"].is_null(), "{report:#}");
        return Ok(());
    };
    let full = SMALL.iter().copied().filter(|arg| *arg != "--quick");
    let full: Vec<&str> =
        full.chain(["--precision", "f16", "--kernel", &kernel, "--json"]).collect();
    let output = bench(&full)?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let with: Value = serde_json::from_slice(&output.stdout)?;
    let (ceiling, workload) = (with["ceilings"]["matrix_gflops"].as_f64(), &with["workloads"][0]);
    let ratio =
        workload["executed_gflops"].as_f64().zip(ceiling).map(|(gflops, ceiling)| gflops / ceiling);
    let share = workload["share_of_matrix"].as_f64();
    assert!(
        share.zip(ratio).is_some_and(|(share, ratio)| (share / ratio - 1.0).abs() < 1e-9),
        "{with:#}"
    );
    let said =
        text(&bench(&[&SMALL[..], &["--precision", "f16", "--kernel", &kernel]].concat())?.stdout);
    assert!(said.contains("of matrix units)"), "{said}");
    Ok(())
}

/// A list of names, each of which a workload must have.
#[test]
fn workloads_are_chosen_by_name() -> Outcome {
    let block = [
        "bench",
        "--quick",
        "--json",
        "--block",
        "--inplanes",
        "16",
        "--planes",
        "4",
        "--size",
        "4,6,8",
    ];
    let output = bench(&[&block[..], &["--only", "block_8,block_4"]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let workloads = report["workloads"].as_array().ok_or("no list")?;
    let names: Vec<&str> =
        workloads.iter().filter_map(|workload| workload["name"].as_str()).collect();
    assert_eq!(names, ["block_4", "block_8"]);
    let known = "the workloads are block_4, block_6, block_8";
    for wanted in ["block_5", "block_4,block_5"] {
        let output = bench(&[&block[..], &["--only", wanted]].concat())?;
        assert_eq!(complaint(&output, 2, &["--only block_5: no such workload", known]), None);
    }
    Ok(())
}

/// A network is checked twice and timed: the stem, each block and the head have times of their own.
#[test]
fn networks_are_measured() -> Outcome {
    let output = bench(&["bench", "--quick", "--json", "--model", "resnet18", "--size", "32"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let workload = &report["workloads"][0];
    assert_eq!((&workload["name"], &workload["what"]), (&json!("resnet18"), &json!("resnet18")));
    let blocks = workload["blocks"].as_array().ok_or("no blocks")?;
    let names: Vec<&str> = blocks.iter().filter_map(|block| block["name"].as_str()).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    assert_eq!(
        (names[0], names[1], names[8], names[9]),
        ("conv1", "layer1.0", "layer4.1", "avgpool")
    );
    Ok(())
}

/// Each backend that is there, side by side; the one named first is device 1.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn devices_stand_side_by_side() -> Outcome {
    let listed: Value =
        serde_json::from_slice(&run(bottleneck().args(["devices", "--json"]))?.stdout)?;
    let listed = listed.as_array().ok_or("no list")?;
    let output = bench(
        &[&SMALL[..], &["--json", "--adapter", "all", "--batch", "2,1", "--in-turns"]].concat(),
    )?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let reports: Value = serde_json::from_slice(&output.stdout)?;
    let reports = reports.as_array().ok_or("no list")?;
    let of = |device: &Value| (device["name"].clone(), device["backend"].clone());
    let measured: Vec<_> = reports.iter().map(|report| of(&report["device"])).collect();
    assert_eq!(measured, listed.iter().map(of).collect::<Vec<_>>());
    let names = |report: &Value| [0, 1, 2].map(|at| report["workloads"][at]["name"].clone());
    assert!(
        reports
            .iter()
            .all(|report| names(report) == [json!("block_b2"), json!("block"), json!(null)]),
        "{reports:#?}"
    );

    let folder = Folder::with(b"", b"")?;
    let all = write(&folder, "all", &reports.as_slice().into())?;
    let output = bench(&["bench", "--compare", &all, &all])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    assert_eq!(
        said.lines().filter(|line| line.starts_with("A  ")).count(),
        reports.len(),
        "{said}"
    );
    let fewer = write(&folder, "fewer", &reports[1..].into())?;
    let (no, yes) = (bench(&["bench", "--compare", &all, &fewer])?, reports.len() == 1);
    assert!(yes || complaint(&no, 2, &["only the first has"]).is_none(), "{}", stderr(&no));
    let none = write(&folder, "none", &json!([]))?;
    assert_eq!(complaint(&bench(&["bench", "--compare", &none, &all])?, 2, &["empty"]), None);

    let backends: Vec<&str> =
        listed.iter().filter_map(|device| device["backend"].as_str()).collect();
    let (Some(first), Some(last)) = (backends.first(), backends.last()) else {
        return Err("no device".into());
    };
    if first == last {
        loudly("SKIPPED: backends side by side, as there is only one");
        return Ok(());
    }
    let wanted = format!("{last},{first}");
    let output = bench(&[&SMALL[..], &["--backend", &wanted, "--steps"]].concat())?;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let heading = |number: usize, backend: &str| {
        said.lines().any(|line| {
            line.starts_with(&format!("device {number} "))
                && line.contains(&format!("({backend}, "))
        })
    };
    assert!(heading(1, last) && heading(2, first) && said.contains("block on device 2"), "{said}");
    // One that is asked for has to be there.
    let missing = ["vulkan", "metal", "dx12", "gl"]
        .into_iter()
        .find(|name| !backends.contains(name))
        .ok_or("all are there")?;
    let output = bench(&[&SMALL[..], &["--backend", &format!("{first},{missing}")]].concat())?;
    assert_eq!(complaint(&output, 2, &[&format!("of backend {missing}")]), None);
    Ok(())
}

#[test]
fn wrong_arguments_are_refused() -> Outcome {
    for (args, said) in [
        (&["--model", "resnet51"][..], "resnet51"),
        (&["--only", "w7"], "w1, w2, w3, w4, w5, w6"),
        (&["--only", "w1,w7"], "--only w7"),
        (&["--only", "w1,"], "--only"),
        (&["--stride-in", "1x1"], "--model"),
        (&["--norm", "frozen", "--preset", "family"], "--model"),
        (&["--stride", "2"], "--block"),
        (&["--block", "--weights", "w"], "--weights"),
        (&["--size", "56"], "--size"),
        (&["--model", "resnet18", "--size", "0x4"], "--size"),
        (&["--batch", "0"], "--batch"),
        (&["--replace-stride-with-dilation", "true,true,true"], "--model"),
        (
            &["--model", "resnet50", "--replace-stride-with-dilation", "true"],
            "replace_stride_with_dilation",
        ),
        (&["--model", "resnet18", "--replace-stride-with-dilation", "true,true,true"], "dilat"),
        (&["--preset", "all"], "--preset"),
        (&["--inplanes", "64"], "--block"),
        (&["--block", "--inplanes", "64", "--planes", "16"], "--size"),
        (&["--block", "--inplanes", "64", "--planes", "0", "--size", "4"], "planes"),
        (
            &[
                "--block",
                "--inplanes",
                "64",
                "--planes",
                "16",
                "--size",
                "4",
                "--groups",
                "3",
                "--base-width",
                "1",
            ],
            "width",
        ),
        (&["--block", "--inplanes", "60000", "--planes", "16", "--size", "60000"], "bytes"),
        (&["--only", "w1", "--kernel", "conv9x9"], "conv9x9"),
        (&["--adapter", "no such adapter"], "no such adapter"),
        (&["--json", "--csv"], "--csv"),
        (&["--compare", "a"], "--compare"),
        (&["--compare", "a", "b", "--quick"], "--quick"),
        (&["--compare", "a", "b", "--backend", "gl"], "--backend"),
        (&["--compare", "a", "b", "--weights", "w"], "--weights"),
        (&["--backend", "cuda"], "--backend"),
        (&["--html", "same", "--trace", "same"], "different files"),
        (&["--html", "/nowhere/page.html"], "/nowhere"),
        (&["--trace", "/"], "/"),
    ] {
        let output = bench(&[&["bench"], args].concat())?;
        assert_eq!(complaint(&output, 2, &[said]), None, "{args:?}");
    }
    Ok(())
}

#[test]
fn no_driver_is_a_failure_of_the_gpu() -> Outcome {
    let nowhere = [("WGPU_BACKEND", "vulkan"), ("VK_DRIVER_FILES", "/nowhere.json")];
    assert_eq!(complaint(&run(bottleneck().args(SMALL).envs(nowhere))?, 4, &["no adapter"]), None);
    Ok(())
}
