//! `bottleneck bench --compare`: two reports of the same workloads side by side.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::error::CliError;
use super::super::input_file;
use super::super::output::{self, Cell, Table};
use super::device::DeviceReport;
use super::measure::Quantiles;
use super::provenance::Provenance;
use super::report::{READABLE, Report, SCHEMA, WorkloadReport};

/// The largest file that is read, in bytes: a report has some hundred kilobytes.
const MOST_BYTES: u64 = 64 << 20;

/// How much faster one report is than the other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratio {
    /// Median over median.
    median: f64,
    /// The slowest plausible time before over the fastest plausible time after, given the noise;
    /// for `least`, the other way round.
    most: f64,
    least: f64,
}

impl Ratio {
    fn new(before: &Quantiles, after: &Quantiles) -> Self {
        Self {
            median: before.p50_ms / after.p50_ms,
            most: before.p90_ms / after.p10_ms,
            least: before.p10_ms / after.p90_ms,
        }
    }

    /// In words.
    fn verdict(&self) -> &'static str {
        match self {
            Self { least, .. } if *least > 1.0 => "faster",
            Self { most, .. } if *most < 1.0 => "slower",
            _ => "within noise",
        }
    }
}

/// Runs the command.
pub fn run(before: &Path, after: &Path, as_json: bool) -> Result<(), CliError> {
    let (a, b) = (read(before)?, read(after)?);
    let refused = |reason| CliError::NotComparable {
        before: before.to_owned(),
        after: after.to_owned(),
        reason,
    };
    let mut compared = Vec::new();
    for (a, b) in devices(&a, &b).map_err(refused)? {
        compared.push((a, b, pair(a, b).map_err(refused)?));
    }
    if compared.iter().any(|(a, b, _)| a.quick || b.quick) {
        output::progress("warning: a report was made with --quick, so its times are rough");
    }
    match as_json {
        true => {
            let mut all: Vec<Value> =
                compared.iter().map(|(a, b, pairs)| comparison_json(a, b, pairs)).collect();
            output::json(&if all.len() == 1 { all.remove(0) } else { all.into() })
        }
        false => {
            let texts: Vec<String> =
                compared.iter().map(|(a, b, pairs)| comparison_text(a, b, pairs)).collect();
            output::print(&texts.join("\n"))
        }
    }
}

/// The reports in a file.
fn read(path: &Path) -> Result<Vec<Report>, CliError> {
    let refused = |reason: String| CliError::NotAReport { path: path.to_owned(), reason };
    let bytes = input_file::read(path, "a report", MOST_BYTES)?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    match value {
        Value::Array(values) if values.is_empty() => Err(refused("it is an empty list".to_owned())),
        Value::Array(values) => {
            values.into_iter().map(|value| report(value).map_err(refused)).collect()
        }
        value => Ok(vec![report(value).map_err(refused)?]),
    }
}

/// The report, or why the value is not one.
fn report(value: Value) -> Result<Report, String> {
    match value.get("schema").and_then(Value::as_str) {
        Some(schema) if READABLE.contains(&schema) => {}
        Some(other) => {
            return Err(format!(
                "its schema is {other:?}, expected {}",
                READABLE.map(|name| format!("{name:?}")).join(" or ")
            ));
        }
        None => return Err(format!("it has no schema, expected {SCHEMA:?}")),
    }
    let report: Report = serde_json::from_value(value).map_err(|error| error.to_string())?;
    match report.workloads.iter().find(|workload| !possible(workload)) {
        Some(workload) => Err(format!("the times of {} are invalid", workload.name)),
        None => Ok(report),
    }
}

/// Pairs the reports of one file with those of the other. Two files with one report each may be
/// from different devices, which are then compared.
fn devices<'a>(a: &'a [Report], b: &'a [Report]) -> Result<Vec<(&'a Report, &'a Report)>, String> {
    if let ([a], [b]) = (a, b) {
        return Ok(vec![(a, b)]);
    }
    let mut left: Vec<&Report> = b.iter().collect();
    let mut with = |a: &'a Report| -> Result<_, String> {
        let name = a.device.short();
        // Twins pair in order.
        let at = left
            .iter()
            .position(|b| b.device.short() == name)
            .ok_or(format!("only the first has {name}"))?;
        Ok((a, left.remove(at)))
    };
    let pairs = a.iter().map(&mut with).collect::<Result<_, String>>()?;
    match left.first() {
        Some(extra) => Err(format!("only the second has {}", extra.device.short())),
        None => Ok(pairs),
    }
}

/// Whether the times are valid.
fn possible(workload: &WorkloadReport) -> bool {
    [Some(workload.host), Some(workload.device), workload.gpu].into_iter().flatten().all(
        |Quantiles { p10_ms, p50_ms, p90_ms }| {
            p10_ms > 0.0 && p10_ms <= p50_ms && p50_ms <= p90_ms && p90_ms < 1e12
        },
    )
}

/// Pairs the workloads of one report with those of the other, or returns why they differ.
fn pair<'a>(
    a: &'a Report,
    b: &'a Report,
) -> Result<Vec<(&'a WorkloadReport, &'a WorkloadReport)>, String> {
    let find = |report: &'a Report, name: &str| {
        report.workloads.iter().find(|workload| workload.name == name)
    };
    if let Some(extra) = b.workloads.iter().find(|workload| find(a, &workload.name).is_none()) {
        return Err(format!("only the second has {}", extra.name));
    }
    let pair = |before: &'a WorkloadReport| {
        let name = &before.name;
        let after = find(b, name).ok_or_else(|| format!("only the first has {name}"))?;
        match before.input == after.input && before.flops == after.flops {
            true => Ok((before, after)),
            false => Err(format!("{name} is another workload in the second")),
        }
    };
    match a.workloads.is_empty() {
        true => Err("they have no workloads".to_owned()),
        false => a.workloads.iter().map(pair).collect(),
    }
}

/// Host, device and GPU times, by name.
fn ratios(
    before: &WorkloadReport,
    after: &WorkloadReport,
) -> Vec<(&'static str, Quantiles, Quantiles, Ratio)> {
    let gpu = before.gpu.zip(after.gpu).map(|(a, b)| ("GPU", a, b));
    let both = [("host", before.host, after.host), ("device", before.device, after.device)];
    both.into_iter().chain(gpu).map(|(name, a, b)| (name, a, b, Ratio::new(&a, &b))).collect()
}

fn comparison_text(a: &Report, b: &Report, pairs: &[(&WorkloadReport, &WorkloadReport)]) -> String {
    let differ = !same_machine(a, b);
    let line = |name: &str, report: &Report| {
        let Report { device, provenance: from, .. } = report;
        let date = from.date.as_ref().map_or(String::new(), |date| format!(", {date}"));
        let mut text = format!(
            "{name}  {} ({}, {}), plan {}, {}, {}{date}\n",
            device.name,
            device.backend,
            device.driver,
            report.plan,
            report.precision,
            from.build()
        );
        if differ {
            let details = device.details().map_or(String::new(), |details| format!("; {details}"));
            text += &format!("   on {}{details}\n", from.on());
        }
        text
    };
    let mut table = Table::new(&[
        "workload",
        "time",
        ">A ms",
        ">B ms",
        ">A / B",
        ">at least",
        ">at most",
        "B is",
    ]);
    for (before, after) in pairs {
        for (kind, before_ms, after_ms, ratio) in ratios(before, after) {
            let name = if kind == "host" { before.name.as_str() } else { "" };
            let ms = [before_ms.p50_ms, after_ms.p50_ms].map(|ms| format!("{ms:.3}"));
            let numbers =
                [ratio.median, ratio.least, ratio.most].map(|ratio| format!("{ratio:.2}"));
            let start = [name, kind].map(Cell::from).into_iter().chain(ms.map(Cell::from));
            table.row(start.chain(numbers.map(Cell::from)).chain([ratio.verdict().into()]));
        }
    }
    let note = "  (at least: A's p10 over B's p90; at most: A's p90 over B's p10)\n";
    format!("{}{}\n{}{note}", line("A", a), line("B", b), table.render())
}

fn comparison_json(a: &Report, b: &Report, pairs: &[(&WorkloadReport, &WorkloadReport)]) -> Value {
    let times = |before: &WorkloadReport, after: &WorkloadReport| {
        let time = |(kind, before, after, ratio): (&str, Quantiles, Quantiles, Ratio)| {
            let bounds = [ratio.least, ratio.most];
            let (a, b) = (before.p50_ms, after.p50_ms);
            let value = json!({
                "a_ms": a,
                "b_ms": b,
                "ratio": ratio.median,
                "bounds": bounds,
                "b_is": ratio.verdict(),
            });
            (kind.to_lowercase(), value)
        };
        ratios(before, after).into_iter().map(time).collect::<serde_json::Map<_, _>>()
    };
    let workload = |(before, after): &(&WorkloadReport, &WorkloadReport)| {
        let mut value = times(before, after);
        value.insert("name".to_owned(), before.name.as_str().into());
        Value::from(value)
    };
    json!({
        "a": Side::of(a),
        "b": Side::of(b),
        "same_machine": same_machine(a, b),
        "workloads": pairs.iter().map(workload).collect::<Value>(),
    })
}

/// A report's device, build, run and machine.
#[derive(Serialize)]
struct Side<'a> {
    #[serde(flatten)]
    device: &'a DeviceReport,
    #[serde(flatten)]
    provenance: &'a Provenance,
}

impl<'a> Side<'a> {
    fn of(Report { device, provenance, .. }: &'a Report) -> Self {
        Self { device, provenance }
    }
}

/// Whether two reports are from the same machine, device and driver, as far as they record them.
fn same_machine(a: &Report, b: &Report) -> bool {
    a.provenance.machine == b.provenance.machine && a.device == b.device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_decides_what_is_faster() {
        let times = |p10_ms, p50_ms, p90_ms| Quantiles { p10_ms, p50_ms, p90_ms };
        let verdict = |a, b| Ratio::new(&a, &b).verdict();
        assert_eq!(verdict(times(9.0, 10.0, 11.0), times(4.0, 5.0, 6.0)), "faster");
        assert_eq!(verdict(times(4.0, 5.0, 6.0), times(9.0, 10.0, 11.0)), "slower");
        assert_eq!(verdict(times(9.0, 10.0, 11.0), times(8.0, 9.0, 10.0)), "within noise");
        let ratio = Ratio::new(&times(9.0, 10.0, 12.0), &times(4.0, 5.0, 6.0));
        assert_eq!(ratio, Ratio { median: 2.0, most: 3.0, least: 1.5 });
    }
}
