//! What `bottleneck bench` writes: a page, a trace.

use scraper::{Html, Selector};
use serde_json::Value;

use super::{SMALL, bench, report};
use crate::common::Outcome;
use crate::program::{Folder, complaint, good_folder, stderr};

/// A page that needs nothing from elsewhere, with a bar for every step and a dot for every one that
/// computes.
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
    let count = |css: &str| {
        Selector::parse(css).map(|css| page.select(&css).count()).map_err(|error| error.to_string())
    };
    // --quick measures the ceilings too briefly for a roof.
    assert_eq!((count("section")?, count("svg polyline.roof")?), (reports.len(), 0));
    assert_eq!(
        (count("svg")?, count(".warning")?, count("table.facts")?),
        (reports.len(), 1, 1 + reports.len())
    );
    assert_eq!(
        (count("svg circle.workload")?, count("svg circle.step")?),
        (2 * reports.len(), 6 * timed)
    );
    assert_eq!((count(".layers .label")?, count(".layers .block")? / 3), (6 * timed, 2 * timed));
    // Nothing is loaded, and nothing is run.
    assert_eq!(
        count(
            "script, link, img, iframe, object, embed, use, base, [src], [href], [onload], \
            [onclick]"
        )?,
        0
    );
    let styles = Selector::parse("style").map_err(|error| error.to_string())?;
    let css: String = page.select(&styles).flat_map(|style| style.text()).collect();
    assert!(
        css.contains("prefers-color-scheme: dark")
            && !css.contains("url(")
            && !css.contains("@import"),
        "{css}"
    );
    // A browser drops what it cannot read; a number that is none would be that.
    let text = std::fs::read_to_string(&path)?;
    assert!(!text.contains("NaN") && !text.contains("inf\""), "{text}");
    Ok(())
}

/// Weights, configuration and table, and one output for both files.
#[test]
fn inputs_and_other_outputs_are_not_overwritten() -> Outcome {
    let folder = good_folder()?;
    std::fs::create_dir(folder.path("new"))?;
    let [w, table, page, nested] = ["w", "table.json", "page", "new/../page"]
        .map(|name| folder.path(name).display().to_string());
    std::fs::write(&table, "{}")?;
    let (names, before) = (folder.files()?, std::fs::read(&w)?);
    let tuned = format!("--tuned={table}");
    let cases: [(&[&str], &str); 5] = [
        (&["--html", &w], "same file"),
        (&["--trace", &w], "same file"),
        (&["--html", &table, &tuned], "same file"),
        (&["--trace", &table, &tuned], "same file"),
        (&["--html", &page, "--trace", &nested], "must be different files"),
    ];
    for (args, says) in cases {
        let args =
            [&["bench", "--quick", "--stride", "2", "--size", "4", "--weights", &w], args].concat();
        assert_eq!(complaint(&bench(&args)?, 2, &[says]), None, "{args:?}");
    }
    let config = folder.path("config.json").display().to_string();
    std::fs::write(&config, "{}")?;
    let small = ["bench", "--quick", "--stride", "2", "--size", "4x4", "--weights", &w];
    let output = bench(&[&small[..], &["--html", &config]].concat())?;
    assert_eq!(complaint(&output, 2, &["same file"]), None);
    std::fs::remove_file(&config)?;
    assert_eq!((folder.files()?, std::fs::read(&w)?), (names, before));
    Ok(())
}

/// Chrome's trace events: per workload the CPU's blocks, submit and wait, and the GPU's blocks over
/// their dispatches.
#[test]
fn a_trace_has_cpu_and_gpu() -> Outcome {
    let folder = Folder::with(b"", b"")?;
    let path = folder.path("trace.json").display().to_string();
    let report = report(&["--batch", "1,2", "--trace", &path])?;
    let trace: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let events = trace["traceEvents"].as_array().ok_or("no events")?;
    for (workload, pid) in ["block:", "block_b2:"].into_iter().zip(1..) {
        let of = |ph: &str, tid: u64| -> Vec<&Value> {
            events
                .iter()
                .filter(|event| event["pid"] == pid && event["tid"] == tid && event["ph"] == ph)
                .collect()
        };
        let process = of("M", 0);
        assert!(
            process[0]["args"]["name"].as_str().is_some_and(|name| name.starts_with(workload)),
            "{process:?}"
        );
        let names = |events: &[&Value]| {
            events.iter().map(|event| event["name"].clone()).collect::<Vec<_>>()
        };
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
        assert!(
            spans[1..]
                .iter()
                .all(|span| span.0 + 0.01 >= spans[0].0 && span.1 <= spans[0].1 + 0.01),
            "{spans:?}"
        );
    }
    Ok(())
}
