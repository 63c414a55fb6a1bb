//! Reports name their build, run, machine and device.

use scraper::{Html, Selector};
use serde_json::{Value, json};

use super::{SMALL, bench, write};
use crate::common::{Outcome, loudly};
use crate::program::{Folder, Result, bottleneck, json, run, stderr, text};

/// The backends of this machine, by the names of `--backend`.
fn backends() -> Result<Vec<String>> {
    let listed = json(&["devices", "--json"])?;
    let listed = listed.as_array().ok_or("no list")?;
    Ok(listed.iter().filter_map(|device| device["backend"].as_str()).map(str::to_owned).collect())
}

/// The facts of a page, name and value, in order.
fn facts(page: &Html) -> Result<Vec<(String, String)>> {
    let select = |css: &str| Selector::parse(css).map_err(|error| error.to_string());
    let (rows, name, value) = (select("table.facts tr")?, select("th")?, select("td")?);
    let inner = |row: scraper::ElementRef<'_>, css| {
        row.select(css).flat_map(|cell| cell.text()).collect::<String>()
    };
    Ok(page.select(&rows).map(|row| (inner(row, &name), inner(row, &value))).collect())
}

/// What a report of this machine must hold, as JSON pointers. A commit is there in a checkout only.
const TEXTS: [(&str, &str); 14] = [
    ("/date", "date"),
    ("/version", "version"),
    ("/command", "command"),
    ("/machine/os", "os"),
    ("/machine/os_version", "os_version"),
    ("/machine/processor", "processor"),
    ("/device/name", "device"),
    ("/device/backend", "backend"),
    ("/device/driver", "driver"),
    ("/device/driver_version", "driver_version"),
    ("/device/vendor_id", "vendor_id"),
    ("/device/device_id", "device_id"),
    ("/plan", "plan"),
    ("/precision", "precision"),
];

/// The facts of the page, in the order of the text before them: of the run once, of each device.
const OF_RUN: [(&str, &str); 6] = [
    ("/date", "date"),
    ("/version", "program's version"),
    ("/command", "command"),
    ("/machine/os", "operating system"),
    ("/machine/os_version", "OS version"),
    ("/machine/processor", "processor"),
];
const OF_DEVICE: [(&str, &str); 6] = [
    ("/device/name", "adapter"),
    ("/device/backend", "backend"),
    ("/device/driver", "driver"),
    ("/device/driver_version", "driver version"),
    ("/device/vendor_id", "vendor ID"),
    ("/device/device_id", "device ID"),
];

/// The text at a pointer, which must not be empty.
fn text_at(report: &Value, pointer: &str) -> Result<String> {
    let text = report.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    Ok(text.ok_or_else(|| format!("no {pointer} in {report:#}"))?.to_owned())
}

/// The types of what is not text.
fn check_types(report: &Value) -> Outcome {
    let date = text_at(report, "/date")?;
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{date}");
    let command = text_at(report, "/command")?;
    assert!(command.starts_with("bottleneck bench --quick --block --inplanes 16"), "{command}");
    assert!(report["machine"]["cores"].as_u64() > Some(0), "{report:#}");
    for id in ["/device/vendor_id", "/device/device_id"] {
        let id = text_at(report, id)?;
        let digits = id.strip_prefix("0x").ok_or("no 0x")?;
        assert!(digits.len() >= 4 && u32::from_str_radix(digits, 16).is_ok(), "{id}");
    }
    let sizes: Vec<u64> = serde_json::from_value(report["device"]["subgroup_sizes"].clone())?;
    assert!(sizes.len() == 2 && sizes[0] > 0 && sizes[0] <= sizes[1], "{report:#}");
    // The build of the tests is that of the program.
    match option_env!("BOTTLENECK_BUILD_COMMIT") {
        Some(commit) => assert_eq!(report["commit"], commit),
        None => assert!(report["commit"].is_null(), "{report:#}"),
    }
    let modified = option_env!("BOTTLENECK_BUILD_MODIFIED").map(|modified| modified == "true");
    assert_eq!(report["modified"], json!(modified));
    Ok(())
}

/// JSON, CSV and the page name build, run, machine and device. A single report, or a single row,
/// identifies its driver.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn two_drivers_are_told_apart() -> Outcome {
    let backends = backends()?;
    let wanted = match ["vulkan", "gl"]
        .iter()
        .all(|wanted| backends.iter().any(|backend| backend == wanted))
    {
        true => "vulkan,gl".to_owned(),
        false => {
            loudly("SKIPPED: two drivers in a report, as Vulkan and OpenGL are not both here");
            backends.first().ok_or("no device")?.clone()
        }
    };
    let folder = Folder::with(b"", b"")?;
    let path = folder.path("page.html").display().to_string();
    let output = bench(&[&SMALL[..], &["--backend", &wanted, "--json", "--html", &path]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let reports = found.as_array().cloned().unwrap_or_else(|| vec![found]);
    assert_eq!(reports.len(), wanted.split(',').count());

    let mut shown = facts(&Html::parse_document(&std::fs::read_to_string(&path)?))?.into_iter();
    let mut next =
        |name: &str| shown.by_ref().find(|(shown, _)| shown == name).map(|(_, value)| value);
    let csv = bench(&[&SMALL[..], &["--backend", &wanted, "--csv"]].concat())?.stdout;
    let mut reader = csv::Reader::from_reader(&csv[..]);
    let columns = reader.headers()?.clone();
    let rows = reader.records().collect::<std::result::Result<Vec<_>, _>>()?;
    assert_eq!(rows.len(), reports.len());

    for (pointer, name) in OF_RUN {
        assert_eq!(next(name), Some(text_at(&reports[0], pointer)?), "{name}");
    }
    assert_eq!(next("cores"), Some(reports[0]["machine"]["cores"].to_string()));
    for (report, row) in reports.iter().zip(&rows) {
        check_types(report)?;
        let cell = |name: &str| {
            columns.iter().position(|column| column == name).and_then(|at| row.get(at))
        };
        for (pointer, name) in TEXTS {
            let (expected, cell) = (text_at(report, pointer)?, cell(name).ok_or(name)?);
            // Two runs have two dates and two command lines.
            assert!(
                cell == expected || (["date", "command"].contains(&name) && !cell.is_empty()),
                "{name}: {cell}"
            );
        }
        let sizes = ["subgroup_min_size", "subgroup_max_size"]
            .map(|name| cell(name).and_then(|size| size.parse().ok()));
        assert_eq!(json!(sizes), report["device"]["subgroup_sizes"]);
        assert_eq!(cell("cores"), Some(&*reports[0]["machine"]["cores"].to_string()));
        assert_eq!(cell("commit"), Some(report["commit"].as_str().unwrap_or_default()));
        for (pointer, name) in OF_DEVICE {
            assert_eq!(next(name), Some(text_at(report, pointer)?), "{name}");
        }
        let [least, most] = sizes.map(Option::<u64>::unwrap_or_default);
        assert_eq!(
            next("subgroup sizes"),
            Some(if least == most { format!("{least}") } else { format!("{least} to {most}") })
        );
    }
    if let [a, b] = &reports[..] {
        assert!(
            a["device"] != b["device"] && a["device"]["driver"] != b["device"]["driver"],
            "{a:#} {b:#}"
        );
        let device = |row: &csv::StringRecord| {
            let named = |name: &&str| {
                columns.iter().position(|column| column == *name).and_then(|at| row.get(at))
            };
            ["device", "backend", "driver", "vendor_id"]
                .iter()
                .map(named)
                .map(|cell| cell.map(str::to_owned))
                .collect()
        };
        let [a, b]: [Vec<Option<String>>; 2] = [device(&rows[0]), device(&rows[1])];
        assert_ne!(a, b);
    }
    Ok(())
}

/// Machines are printed if they differ. An old report without a machine can be compared.
#[test]
fn machines_that_differ_are_printed() -> Outcome {
    let (folder, mut report) = (Folder::with(b"", b"")?, super::report(&[])?);
    let processor = text_at(&report, "/machine/processor")?;
    let a = write(&folder, "a", &report)?;
    let same = text(&bench(&["bench", "--compare", &a, &a])?.stdout);
    assert!(!same.contains(&processor) && same.contains("commit "), "{same}");
    report["machine"]["processor"] = json!("another processor");
    let b = write(&folder, "b", &report)?;
    let output = bench(&["bench", "--compare", &a, &b])?;
    let said = text(&output.stdout);
    assert!(
        said.contains(&format!("on {processor}")) && said.contains("on another processor"),
        "{said}"
    );
    let compared: Value =
        serde_json::from_slice(&bench(&["bench", "--compare", &a, &b, "--json"])?.stdout)?;
    assert_eq!(compared["same_machine"], false);
    assert_eq!(compared["b"]["machine"]["processor"], "another processor");

    let members = report.as_object_mut().ok_or("no object")?;
    members.insert("schema".to_owned(), json!("wgpu-bottleneck bench 1"));
    for later in ["date", "commit", "modified", "command", "machine"] {
        members.remove(later);
    }
    for later in ["driver_version", "vendor_id", "device_id", "subgroup_sizes"] {
        members["device"].as_object_mut().ok_or("no device")?.remove(later);
    }
    members["ceilings"]["barrier_us"] = json!(0.0);
    members["ceilings"].as_object_mut().ok_or("no ceilings")?.remove("barrier_noise_us");
    for share in ["share_of_fma", "share_of_copy", "share_of_roof"] {
        members["workloads"][0][share] = json!(0.5);
    }
    let old = write(&folder, "old", &report)?;
    let output = run(bottleneck().args(["bench", "--compare", &old, &a]))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text(&output.stdout).contains("machine not recorded"), "{}", text(&output.stdout));
    Ok(())
}
