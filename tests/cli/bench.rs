//! `bottleneck bench`: what it prints, what it compares, what it refuses.

use std::process::Output;

use scraper::{Html, Selector};
use serde_json::{Value, json};

use crate::common::{Outcome, loudly};
use crate::program::{Folder, Result, bottleneck, complaint, run, stderr, text};

/// A block that takes no time.
const SMALL: [&str; 9] = ["bench", "--quick", "--block", "--inplanes", "16", "--planes", "4", "--size", "6x5"];

fn bench(args: &[&str]) -> Result<Output> {
    run(bottleneck().args(args))
}

/// The report of a small block with more arguments.
fn report(args: &[&str]) -> Result<Value> {
    let output = bench(&[&SMALL[..], &["--json"], args].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn json_has_every_number() -> Outcome {
    let report = report(&["--batch", "1,3"])?;
    assert_eq!(report["schema"], "wgpu-bottleneck bench 1");
    assert!(report["device"]["name"].is_string() && report["quick"] == true, "{report:#}");
    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0 && number.is_finite());
    for ceiling in ["fma_gflops", "copy_gbps", "empty_dispatch_us"] {
        assert!(positive(&report["ceilings"][ceiling]), "{ceiling}: {report:#}");
    }
    let workloads = report["workloads"].as_array().ok_or("no list")?;
    assert_eq!(workloads.len(), 2);
    for (workload, (name, batch)) in workloads.iter().zip([("block", 1), ("block_b3", 3)]) {
        assert_eq!((&workload["name"], &workload["input"]), (&json!(name), &json!([batch, 16, 6, 5])));
        // Three convolutions: 16 to 4, 4 to 4 by 3x3, 4 to 16, on 30 pixels.
        assert_eq!(workload["flops"], 2 * 30 * batch * (16 * 4 + 9 * 4 * 4 + 4 * 16));
        for number in ["bytes", "intensity", "median_ms", "device_ms", "gflops", "gbps", "share_of_roof"] {
            assert!(positive(&workload[number]), "{number}: {workload:#}");
        }
        let block = &workload["blocks"][0];
        let steps = block["steps"].as_array().ok_or("no steps")?;
        let names: Vec<&Value> = steps.iter().map(|step| &step["name"]).collect();
        assert_eq!(
            (&block["name"], &names[..]),
            (&json!("block0"), &[&json!("block0.conv1"), &json!("block0.conv2"), &json!("block0.conv3")][..])
        );
        assert_eq!(workload["flops"], block["flops"]);
        let dispatches: Vec<&Value> = steps.iter().flat_map(|step| step["dispatches"].as_array()).flatten().collect();
        assert!(dispatches.len() >= 3 && dispatches.iter().all(|one| one["kernel"].is_string()), "{block:#}");
        assert_eq!(report["timestamps"].is_null(), workload["gpu_ms"].is_null(), "{report:#}");
        if !workload["gpu_ms"].is_null() {
            let timed = [workload, block].into_iter().chain(steps).chain(dispatches);
            assert!(timed.map(|timed| &timed["gpu_ms"]).all(positive), "{workload:#}");
        }
        assert!(workload["largest_error"].as_f64().is_some_and(|error| error < 1e-5), "{workload:#}");
    }
    Ok(())
}

#[test]
fn tables_and_csv_are_printed() -> Outcome {
    let output = bench(&[&SMALL[..], &["--steps", "--plan", "unfused"]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    for part in ["device ", "ceilings ", "of roof", "Bottleneck 16 -> 16, width 4", "block0.bn1", "batchnorm_relu"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let output = bench(&[&SMALL[..], &["--csv"]].concat())?;
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("workload,what,n,c,h,w,flops,bytes,"), "{said}");
    assert!(lines[1].starts_with("block,\"Bottleneck 16 -> 16, width 4\",1,16,6,5,"), "{said}");
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
    assert_eq!((names[0], names[1], names[8], names[9]), ("conv1", "layer1.0", "layer4.1", "avgpool"));
    Ok(())
}

/// Each backend that is there, side by side; the one named first is device 1.
#[test]
fn devices_stand_side_by_side() -> Outcome {
    let listed: Value = serde_json::from_slice(&run(bottleneck().args(["devices", "--json"]))?.stdout)?;
    let listed = listed.as_array().ok_or("no list")?;
    let output = bench(&[&SMALL[..], &["--json", "--adapter", "all"]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let reports: Value = serde_json::from_slice(&output.stdout)?;
    let reports = reports.as_array().ok_or("no list")?;
    let of = |device: &Value| (device["name"].clone(), device["backend"].clone());
    let measured: Vec<_> = reports.iter().map(|report| of(&report["device"])).collect();
    assert_eq!(measured, listed.iter().map(of).collect::<Vec<_>>());
    assert!(reports.iter().all(|report| report["workloads"][0]["name"] == "block"), "{reports:#?}");

    let folder = Folder::with(b"", b"")?;
    let all = write(&folder, "all", &reports.as_slice().into())?;
    let output = bench(&["bench", "--compare", &all, &all])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    assert_eq!(said.lines().filter(|line| line.starts_with("A  ")).count(), reports.len(), "{said}");
    let fewer = write(&folder, "fewer", &reports[1..].into())?;
    let (no, yes) = (bench(&["bench", "--compare", &all, &fewer])?, reports.len() == 1);
    assert!(yes || complaint(&no, 2, &["only the first has"]).is_none(), "{}", stderr(&no));
    let none = write(&folder, "none", &json!([]))?;
    assert_eq!(complaint(&bench(&["bench", "--compare", &none, &all])?, 2, &["empty"]), None);

    let backends: Vec<&str> = listed.iter().filter_map(|device| device["backend"].as_str()).collect();
    let (Some(first), Some(last)) = (backends.first(), backends.last()) else { return Err("no device".into()) };
    if first == last {
        loudly("SKIPPED: backends side by side, as there is only one");
        return Ok(());
    }
    let wanted = format!("{last},{first}");
    let output = bench(&[&SMALL[..], &["--backend", &wanted, "--steps"]].concat())?;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let heading = |number: usize, backend: &str| {
        said.lines()
            .any(|line| line.starts_with(&format!("device {number} ")) && line.contains(&format!("({backend}, ")))
    };
    assert!(heading(1, last) && heading(2, first) && said.contains("block on device 2"), "{said}");
    // One that is asked for has to be there.
    let missing =
        ["vulkan", "metal", "dx12", "gl"].into_iter().find(|name| !backends.contains(name)).ok_or("all are there")?;
    let output = bench(&[&SMALL[..], &["--backend", &format!("{first},{missing}")]].concat())?;
    assert_eq!(complaint(&output, 2, &[&format!("of backend {missing}")]), None);
    Ok(())
}

/// A page that needs nothing from elsewhere, with a bar for every step and a dot for every one that computes.
#[test]
fn a_page_stands_alone() -> Outcome {
    let folder = Folder::with(b"", b"")?;
    let path = folder.path("page.html").display().to_string();
    let args = ["--adapter", "all", "--batch", "1,2", "--json", "--html", &path];
    let output = bench(&[&SMALL[..], &args].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let reports: Value = serde_json::from_slice(&output.stdout)?;
    let reports = reports.as_array().ok_or("no list")?;
    let timed = reports.iter().filter(|report| !report["workloads"][0]["gpu_ms"].is_null()).count();

    let page = Html::parse_document(&std::fs::read_to_string(&path)?);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    let count =
        |css: &str| Selector::parse(css).map(|css| page.select(&css).count()).map_err(|error| error.to_string());
    assert_eq!((count("section")?, count("svg polyline.roof")?), (reports.len(), reports.len()));
    assert_eq!((count("svg circle.workload")?, count("svg circle.step")?), (2 * reports.len(), 6 * timed));
    assert_eq!((count(".layers .label")?, count(".layers .block")? / 3), (6 * timed, 2 * timed));
    // Nothing is loaded, and nothing is run.
    assert_eq!(count("script, link, img, iframe, object, embed, use, base, [src], [href], [onload], [onclick]")?, 0);
    let styles = Selector::parse("style").map_err(|error| error.to_string())?;
    let css: String = page.select(&styles).flat_map(|style| style.text()).collect();
    assert!(css.contains("prefers-color-scheme: dark") && !css.contains("url(") && !css.contains("@import"), "{css}");
    // A browser drops what it cannot read; a number that is none would be that.
    let text = std::fs::read_to_string(&path)?;
    assert!(!text.contains("NaN") && !text.contains("inf\""), "{text}");
    Ok(())
}

/// Chrome's trace events: per workload the CPU's blocks, submit and wait, and the GPU's blocks over their dispatches.
#[test]
fn a_trace_has_cpu_and_gpu() -> Outcome {
    let folder = Folder::with(b"", b"")?;
    let path = folder.path("trace.json").display().to_string();
    let report = report(&["--batch", "1,2", "--trace", &path])?;
    let trace: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let events = trace["traceEvents"].as_array().ok_or("no events")?;
    for (workload, pid) in ["block:", "block_b2:"].into_iter().zip(1..) {
        let of = |ph: &str, tid: u64| -> Vec<&Value> {
            events.iter().filter(|event| event["pid"] == pid && event["tid"] == tid && event["ph"] == ph).collect()
        };
        let process = of("M", 0);
        assert!(process[0]["args"]["name"].as_str().is_some_and(|name| name.starts_with(workload)), "{process:?}");
        let names = |events: &[&Value]| events.iter().map(|event| event["name"].clone()).collect::<Vec<_>>();
        let span = |event: &Value| -> Option<(f64, f64)> {
            let (start, length) = (event["ts"].as_f64()?, event["dur"].as_f64()?);
            Some((start, start + length)).filter(|_| start >= 0.0 && length >= 0.0)
        };
        let cpu = of("X", 1);
        assert_eq!(names(&cpu), ["record block0", "submit", "wait"]);
        let spans: Vec<(f64, f64)> = cpu.iter().filter_map(|event| span(event)).collect();
        assert!(spans.len() == 3 && spans.is_sorted_by(|a, b| a.1 <= b.0 + 0.01), "{spans:?}");
        if report["timestamps"].is_null() {
            continue;
        }
        let gpu = of("X", 2);
        assert_eq!(names(&gpu), ["block0", "block0.conv1", "block0.conv2", "block0.conv3"]);
        assert!(gpu[1..].iter().all(|event| event["args"]["kernel"].is_string()), "{gpu:?}");
        let spans: Vec<(f64, f64)> = gpu.iter().filter_map(|event| span(event)).collect();
        assert!(spans[1..].iter().all(|span| span.0 + 0.01 >= spans[0].0 && span.1 <= spans[0].1 + 0.01), "{spans:?}");
    }
    Ok(())
}

/// A file for `--compare`.
fn write(folder: &Folder, name: &str, value: &Value) -> Result<String> {
    std::fs::write(folder.path(name), value.to_string())?;
    Ok(folder.path(name).display().to_string())
}

#[test]
fn reports_are_compared() -> Outcome {
    let (folder, mut report) = (Folder::with(b"", b"")?, report(&[])?);
    let times = |report: &mut Value, ms: f64| {
        for kind in ["host", "device", "gpu"] {
            report["workloads"][0][kind] = json!({ "p10_ms": 0.9 * ms, "p50_ms": ms, "p90_ms": 1.1 * ms });
        }
    };
    times(&mut report, 3.0);
    let a = write(&folder, "a", &report)?;
    times(&mut report, 2.0);
    let b = write(&folder, "b", &report)?;
    let output = bench(&["bench", "--compare", &a, &b])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    let line = said.lines().find(|line| line.trim_start().starts_with("block ")).ok_or("no line")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["block", "host", "3.000", "2.000", "1.50", "1.23", "1.83", "faster"]);
    for (files, verdict) in [([&b, &a], "slower"), ([&a, &a], "within noise")] {
        let output = bench(&["bench", "--json", "--compare", files[0], files[1]])?;
        let compared: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(compared["workloads"][0]["gpu"]["b_is"], verdict, "{compared:#}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_compared_is_refused() -> Outcome {
    let (folder, report) = (Folder::with(b"", b"")?, report(&[])?);
    let good = write(&folder, "good", &report)?;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = report.clone();
        change(&mut other);
        other
    };
    let cases: [(Value, &str); 8] = [
        (json!([1]), "no schema"),
        (changed(&|report| report["schema"] = json!("wgpu-bottleneck bench 9")), "bench 9"),
        (changed(&|report| report["workloads"][0]["host"] = Value::Null), "invalid type"),
        (changed(&|report| report["workloads"][0]["host"]["p50_ms"] = json!(-1.0)), "the times of block"),
        (changed(&|report| report["workloads"][0]["name"] = json!("w1")), "only the second has w1"),
        (changed(&|report| report["workloads"][0]["input"][2] = json!(7)), "another workload"),
        (changed(&|report| report["workloads"][0]["flops"] = json!(7)), "another workload"),
        (changed(&|report| report["workloads"] = json!([])), "only the first has block"),
    ];
    for (value, said) in cases {
        let other = write(&folder, "other", &value)?;
        assert_eq!(complaint(&bench(&["bench", "--compare", &good, &other])?, 2, &[said]), None);
    }
    std::fs::write(folder.path("cut"), &report.to_string()[..200])?;
    let (cut, nowhere) = (folder.path("cut").display().to_string(), folder.path("nowhere").display().to_string());
    assert_eq!(complaint(&bench(&["bench", "--compare", &cut, &good])?, 2, &["not a report"]), None);
    assert_eq!(complaint(&bench(&["bench", "--compare", &good, &nowhere])?, 2, &["nowhere"]), None);
    Ok(())
}

#[test]
fn wrong_arguments_are_refused() -> Outcome {
    for (args, said) in [
        (&["--model", "resnet51"][..], "resnet51"),
        (&["--only", "w7"], "w7"),
        (&["--size", "56"], "--size"),
        (&["--model", "resnet18", "--size", "0x4"], "--size"),
        (&["--batch", "0"], "--batch"),
        (&["--preset", "all"], "--preset"),
        (&["--inplanes", "64"], "--block"),
        (&["--block", "--inplanes", "64", "--planes", "16"], "--size"),
        (&["--block", "--inplanes", "64", "--planes", "0", "--size", "4"], "planes"),
        (
            &["--block", "--inplanes", "64", "--planes", "16", "--size", "4", "--groups", "3", "--base-width", "1"],
            "width",
        ),
        (&["--block", "--inplanes", "60000", "--planes", "16", "--size", "60000"], "bytes"),
        (&["--only", "w1", "--kernel", "conv9x9"], "conv9x9"),
        (&["--adapter", "no such adapter"], "no such adapter"),
        (&["--json", "--csv"], "--csv"),
        (&["--compare", "a"], "--compare"),
        (&["--compare", "a", "b", "--quick"], "--quick"),
        (&["--compare", "a", "b", "--backend", "gl"], "--backend"),
        (&["--backend", "cuda"], "--backend"),
        (&["--html", "same", "--trace", "same"], "one file"),
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
