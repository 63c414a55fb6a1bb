//! A report as tables or JSON.

use super::super::error::CliError;
use super::super::output::{Cell, Table};
use super::parts::{Cost, StepReport};
use super::report::{Report, Reports, WorkloadReport};

/// The reason for missing shares of ceilings.
pub const NO_SHARES: &str = "--quick: no shares of the ceilings, which it measures too briefly";

/// The reports as JSON.
pub fn json(reports: &Reports) -> Result<String, CliError> {
    let failed = |error: serde_json::Error| CliError::io("standard output", error.into());
    Ok(serde_json::to_string_pretty(reports).map_err(failed)? + "\n")
}

/// The reports as tables; with `steps`, also every dispatch.
pub fn tables(reports: &[Report], steps: bool) -> String {
    let mut text = reports.first().map_or(String::new(), run);
    numbered(reports).for_each(|(number, report)| text += &heading(&number, report));
    text += &format!("\n{}\n{}", times(reports), rates(reports));
    text += "  (host: from host array to host array; device: input and output stay there; GPU: the \
        sum of the dispatches' times; medians.\n  \
        GFLOP: convolutions only, two operations per multiply-add; executed: GFLOP/s of the \
        operations that the kernels execute,\n  \
        fewer with Winograd's; MB: the least memory traffic)\n";
    if have_shares(reports) {
        text += "  (of FMA: the executed operations' share of the ceiling of multiply-adds in f32; \
            of roof: the ideal time, with every\n  \
            step at the device's ceiling of arithmetic or of traffic, as a share of the measured \
            time)\n";
    }
    if have_matrix_units(reports) {
        text += "  (of matrix units: the share of their ceiling, by all executed operations)\n";
    }
    if reports.iter().flat_map(|report| &report.workloads).any(|workload| !workload.steady) {
        text += "  (~: the medians were not steady at the time limit: the machine was busy, or the \
            limit was short)\n";
    }
    if steps {
        for (number, report) in numbered(reports) {
            report.workloads.iter().for_each(|workload| text += &parts(&number, workload));
        }
    }
    text
}

/// Reports with the numbers of their devices; a single one has no number.
fn numbered(reports: &[Report]) -> impl Iterator<Item = (String, &Report)> {
    let several = reports.len() > 1;
    (1..).zip(reports).map(move |(number, report)| {
        (if several { format!("{number}") } else { String::new() }, report)
    })
}

/// Each workload on one device after the other, with the numbers of the devices.
fn by_workload(reports: &[Report]) -> impl Iterator<Item = (String, &WorkloadReport)> {
    let count = reports.first().map_or(0, |report| report.workloads.len());
    (0..count).flat_map(|at| {
        numbered(reports)
            .filter_map(move |(number, report)| Some((number, report.workloads.get(at)?)))
    })
}

/// The build, the run and the machine, which all reports share.
fn run(report: &Report) -> String {
    let from = &report.provenance;
    let date = from.date.as_ref().map_or(String::new(), |date| format!(", {date}"));
    let mut text = format!("run       {}{date}\nmachine   {}\n", from.build(), from.on());
    if report.quick {
        text += &format!("quick     do not compare these times with others; {NO_SHARES}\n");
    }
    text
}

/// The device, its ceilings, and the plan.
fn heading(number: &str, report: &Report) -> String {
    let (device, ceilings) = (&report.device, &report.ceilings);
    let driver =
        if device.driver.is_empty() { String::new() } else { format!(", {}", device.driver) };
    let mut text = format!(
        "device {number:<2} {} ({}, {}{driver})\n",
        device.name, device.backend, device.kind
    );
    text.extend(device.details().map(|details| format!("          {details}\n")));
    let forms = [(ceilings.fma_f16_gflops, "in f16"), (ceilings.matrix_gflops, "of matrix units")];
    let forms = forms.iter().filter_map(|(gflops, what)| Some(format!("{:.1} {what}", (*gflops)?)));
    let half = match &forms.collect::<Vec<_>>()[..] {
        [] => String::new(),
        forms => format!(" ({})", forms.join(", ")),
    };
    let barrier = match ceilings.barrier_us {
        Some(us) => format!("{us:.2} us more with a barrier"),
        None => format!("a barrier within noise ({:.2} us)", ceilings.barrier_noise_us),
    };
    text += &format!(
        "ceilings  {:.1} GFLOP/s of multiply-adds{half}, {:.1} GB/s of copying, {:.2} us an empty \
        dispatch, {barrier}\n",
        ceilings.fma_gflops, ceilings.copy_gbps, ceilings.empty_dispatch_us
    );
    let kernel = report
        .kernel
        .as_deref()
        .map_or(String::new(), |kernel| format!(", kernel {kernel} where it fits"));
    let timestamps = report.timestamps.as_deref().unwrap_or("none, the device has no timestamps");
    text += &format!(
        "plan      {}, {}{kernel}; GPU times: {timestamps}\n",
        report.plan, report.precision
    );
    text
}

/// The heading of the device numbers, if there are several devices.
fn device_heading(reports: &[Report]) -> &'static str {
    if reports.len() > 1 { ">device" } else { "" }
}

fn times(reports: &[Report]) -> String {
    let mut table = Table::new(&[
        "workload",
        device_heading(reports),
        "input",
        ">host ms",
        ">p10",
        ">p90",
        ">device ms",
        ">p10",
        ">p90",
        ">GPU ms",
        ">rounds",
        ">error",
    ]);
    for (number, workload) in by_workload(reports) {
        let WorkloadReport { host, device, .. } = workload;
        let ms = |ms: f64| format!("{ms:.3}");
        let input = workload.input.map(|size| size.to_string()).join("x");
        let rounds = format!("{}{}", if workload.steady { "" } else { "~" }, workload.rounds);
        let error = format!("{:.1e}", workload.largest_error);
        let numbers =
            [host.p50_ms, host.p10_ms, host.p90_ms, device.p50_ms, device.p10_ms, device.p90_ms]
                .map(ms);
        let gpu = workload.gpu_ms.map_or("-".to_owned(), ms);
        let start = [workload.name.clone(), number, input];
        table.row(start.into_iter().chain(numbers).chain([gpu, rounds, error]).map(Cell::from));
    }
    table.render()
}

/// Whether matrix units computed anything.
fn have_matrix_units(reports: &[Report]) -> bool {
    reports
        .iter()
        .flat_map(|report| &report.workloads)
        .any(|workload| workload.share_of_matrix.is_some())
}

/// Whether there are shares of ceilings.
fn have_shares(reports: &[Report]) -> bool {
    reports
        .iter()
        .flat_map(|report| &report.workloads)
        .any(|workload| workload.share_of_roof.is_some())
}

fn rates(reports: &[Report]) -> String {
    let shares = have_shares(reports);
    let of = |heading: &'static str| if shares { heading } else { "" };
    let mut table = Table::new(&[
        "workload",
        device_heading(reports),
        "",
        ">GFLOP",
        ">MB",
        ">FLOP/byte",
        ">GFLOP/s",
        ">executed",
        ">GB/s",
        of(">of FMA"),
        if have_matrix_units(reports) { ">of matrix units" } else { "" },
        of(">of copy"),
        of(">of roof"),
    ]);
    for (number, workload) in by_workload(reports) {
        let percent = |share: Option<f64>| {
            share.map_or(String::new(), |share| format!("{:.0} %", share * 100.0))
        };
        table.row([
            workload.name.as_str().into(),
            number.into(),
            workload.what.as_str().into(),
            format!("{:.3}", workload.flops as f64 / 1e9).into(),
            format!("{:.2}", workload.bytes as f64 / 1e6).into(),
            format!("{:.1}", workload.intensity).into(),
            format!("{:.1}", workload.gflops).into(),
            format!("{:.1}", workload.executed_gflops).into(),
            format!("{:.1}", workload.gbps).into(),
            percent(workload.share_of_fma).into(),
            percent(workload.share_of_matrix).into(),
            percent(workload.share_of_copy).into(),
            percent(workload.share_of_roof).into(),
        ]);
    }
    table.render()
}

/// Every block, step and dispatch of a workload.
fn parts(number: &str, workload: &WorkloadReport) -> String {
    let shares = workload.share_of_roof.is_some();
    let mut table = Table::new(&[
        "step",
        "kernel",
        ">GPU ms",
        if shares { ">of roof" } else { "" },
        ">GFLOP/s",
        ">GB/s",
    ]);
    let mut row = |name: String, kernel: &str, ms: Option<f64>, cost: Option<&Cost>| {
        let or_none = |number: Option<f64>, digits: usize| {
            number.map_or("-".to_owned(), |it| format!("{it:.digits$}"))
        };
        let rates = cost.map_or_else(Default::default, |cost| {
            let none = if shares { "-".to_owned() } else { String::new() };
            let percent =
                cost.share_of_roof().map_or(none, |share| format!("{:.0} %", share * 100.0));
            let speeds =
                [cost.flops, cost.bytes].map(|amount| or_none(cost.giga_a_second(amount), 1));
            [percent].into_iter().chain(speeds).collect::<Vec<_>>()
        });
        table.row(
            [name, kernel.to_owned(), or_none(ms, 3)].into_iter().chain(rates).map(Cell::from),
        );
    };
    for block in &workload.blocks {
        row(block.name.clone(), "", block.cost.gpu_ms, Some(&block.cost));
        for StepReport { name, cost, dispatches, .. } in &block.steps {
            match &dispatches[..] {
                [only] => row(format!("  {name}"), &only.kernel, cost.gpu_ms, Some(cost)),
                several => {
                    row(format!("  {name}"), "", cost.gpu_ms, Some(cost));
                    several
                        .iter()
                        .for_each(|one| row(String::new(), &one.kernel, one.gpu_ms, None));
                }
            }
        }
    }
    let on = if number.is_empty() { String::new() } else { format!(" on device {number}") };
    format!("\n{}{on}: {}\n{}", workload.name, workload.what, table.render())
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;
    use super::*;

    fn shown(report: Report) -> String {
        anstream::adapter::strip_str(&tables(&[report], true)).to_string()
    }

    #[test]
    fn shares_are_of_full_runs() {
        let full = shown(sample(false));
        for part in [
            "of FMA",
            "of copy",
            "of roof",
            "  50 %",
            "0.25 us more with a barrier",
            "run       version 0.1.0",
        ] {
            assert!(full.contains(part), "no {part:?} in {full}");
        }
        let quick = shown(sample(true));
        assert!(
            !quick.contains('%') && !quick.contains("of roof") && !quick.contains("of FMA"),
            "{quick}"
        );
        assert_eq!(quick.matches(NO_SHARES).count(), 1, "{quick}");
    }

    #[test]
    fn a_barrier_within_noise_has_no_number() {
        let mut report = sample(false);
        report.ceilings.barrier_us = None;
        let text = shown(report);
        assert!(text.contains("a barrier within noise (0.10 us)"), "{text}");
    }
}
