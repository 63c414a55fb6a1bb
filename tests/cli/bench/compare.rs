//! `bottleneck bench --compare`.

use serde_json::{Value, json};

use super::{bench, report, write};
use crate::common::Outcome;
use crate::program::{Folder, complaint, stderr, text};

#[test]
fn reports_are_compared() -> Outcome {
    let (folder, mut report) = (Folder::with(b"", b"")?, report(&[])?);
    let times = |report: &mut Value, ms: f64| {
        for kind in ["host", "device", "gpu"] {
            report["workloads"][0][kind] =
                json!({ "p10_ms": 0.9 * ms, "p50_ms": ms, "p90_ms": 1.1 * ms });
        }
    };
    times(&mut report, 3.0);
    let a = write(&folder, "a", &report)?;
    times(&mut report, 2.0);
    let b = write(&folder, "b", &report)?;
    let output = bench(&["bench", "--compare", &a, &b])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    let line =
        said.lines().find(|line| line.trim_start().starts_with("block ")).ok_or("no line")?;
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
        (
            changed(&|report| report["workloads"][0]["host"]["p50_ms"] = json!(-1.0)),
            "the times of block",
        ),
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
    let (cut, nowhere) =
        (folder.path("cut").display().to_string(), folder.path("nowhere").display().to_string());
    assert_eq!(
        complaint(&bench(&["bench", "--compare", &cut, &good])?, 2, &["not a report"]),
        None
    );
    assert_eq!(complaint(&bench(&["bench", "--compare", &good, &nowhere])?, 2, &["nowhere"]), None);
    Ok(())
}
