//! A report as tables, JSON or CSV.

use super::super::error::CliError;
use super::super::output::{Cell, Table};
use super::measure::Quantiles;
use super::parts::{Cost, StepReport};
use super::report::{DeviceReport, Report, Reports, WorkloadReport};

/// The reports as JSON.
pub fn json(reports: &Reports) -> Result<String, CliError> {
    let failed = |error: serde_json::Error| CliError::io("standard output", error.into());
    Ok(serde_json::to_string_pretty(reports).map_err(failed)? + "\n")
}

/// The reports as tables for people; with `steps` also every dispatch.
pub fn tables(reports: &[Report], steps: bool) -> String {
    let mut text: String = numbered(reports).map(|(number, report)| heading(&number, report)).collect();
    text += &format!("\n{}\n{}", times(reports), shares(reports));
    text += "  (GFLOP: convolutions only, two operations per multiply-add; executed: GFLOP/s of what the kernels carry out, which is less\n  \
        where Winograd's are among them; of FMA: its share of the ceiling of multiply-adds in f32; MB: the least memory traffic. host: from\n  \
        host array to host array; device: input and output staying there; GPU: the sum of the dispatches' times; medians. of roof: the\n  \
        time at which every step would meet the device's ceiling of arithmetic or of traffic, as a share of the time taken)\n";
    if have_matrix_units(reports) {
        text += "  (of matrix units: the share of their ceiling, by all executed operations)\n";
    }
    if reports.iter().flat_map(|report| &report.workloads).any(|workload| !workload.steady) {
        text += "  (~: the medians had not come to rest when the time was up: a busy machine, or little time)\n";
    }
    if steps {
        for (number, report) in numbered(reports) {
            report.workloads.iter().for_each(|workload| text += &parts(&number, workload));
        }
    }
    text
}

/// Reports with the numbers of their devices; one alone needs none.
fn numbered(reports: &[Report]) -> impl Iterator<Item = (String, &Report)> {
    let several = reports.len() > 1;
    (1..).zip(reports).map(move |(number, report)| (if several { format!("{number}") } else { String::new() }, report))
}

/// Each workload with the numbers of the devices, on one after the other.
fn by_workload(reports: &[Report]) -> impl Iterator<Item = (String, &WorkloadReport)> {
    let count = reports.first().map_or(0, |report| report.workloads.len());
    (0..count)
        .flat_map(|at| numbered(reports).filter_map(move |(number, report)| Some((number, report.workloads.get(at)?))))
}

/// What everything ran on, and what that can do.
fn heading(number: &str, report: &Report) -> String {
    let (device, ceilings) = (&report.device, &report.ceilings);
    let driver = if device.driver.is_empty() { String::new() } else { format!(", {}", device.driver) };
    let mut text = format!("device {number:<2} {} ({}, {}{driver})\n", device.name, device.backend, device.kind);
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
        "ceilings  {:.1} GFLOP/s of multiply-adds{half}, {:.1} GB/s of copying, {:.2} us an empty dispatch, {barrier}\n",
        ceilings.fma_gflops, ceilings.copy_gbps, ceilings.empty_dispatch_us
    );
    let kernel = report.kernel.as_deref().map_or(String::new(), |kernel| format!(", kernel {kernel} where it fits"));
    let timestamps = report.timestamps.as_deref().unwrap_or("none, the device has no timestamps");
    text += &format!("plan      {}, {}{kernel}; GPU times: {timestamps}\n", report.plan, report.precision);
    if report.quick {
        text += "quick     too little time was spent to compare these numbers with others\n";
    }
    text
}

/// The column of the devices' numbers, where there are several.
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
        let numbers = [host.p50_ms, host.p10_ms, host.p90_ms, device.p50_ms, device.p10_ms, device.p90_ms].map(ms);
        let gpu = workload.gpu_ms.map_or("-".to_owned(), ms);
        let start = [workload.name.clone(), number, input];
        table.row(start.into_iter().chain(numbers).chain([gpu, rounds, error]).map(Cell::from));
    }
    table.render()
}

/// Whether matrix units computed anything.
fn have_matrix_units(reports: &[Report]) -> bool {
    reports.iter().flat_map(|report| &report.workloads).any(|workload| workload.share_of_matrix.is_some())
}

fn shares(reports: &[Report]) -> String {
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
        ">of FMA",
        if have_matrix_units(reports) { ">of matrix units" } else { "" },
        ">of copy",
        ">of roof",
    ]);
    for (number, workload) in by_workload(reports) {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
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
            workload.share_of_matrix.map_or(String::new(), percent).into(),
            percent(workload.share_of_copy).into(),
            percent(workload.share_of_roof).into(),
        ]);
    }
    table.render()
}

/// Every block, step and dispatch of a workload.
fn parts(number: &str, workload: &WorkloadReport) -> String {
    let mut table = Table::new(&["step", "kernel", ">GPU ms", ">of roof", ">GFLOP/s", ">GB/s"]);
    let mut row = |name: String, kernel: &str, ms: Option<f64>, cost: Option<&Cost>| {
        let or_none = |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |it| format!("{it:.digits$}"));
        let rates = cost.map_or_else(Default::default, |cost| {
            let share = ms.filter(|&ms| ms > 0.0).map(|ms| cost.roof_ms / ms * 100.0);
            let percent = share.map_or("-".to_owned(), |share| format!("{share:.0} %"));
            let speeds = [cost.flops, cost.bytes].map(|amount| or_none(cost.giga_a_second(amount), 1));
            [percent].into_iter().chain(speeds).collect::<Vec<_>>()
        });
        table.row([name, kernel.to_owned(), or_none(ms, 3)].into_iter().chain(rates).map(Cell::from));
    };
    for block in &workload.blocks {
        row(block.name.clone(), "", block.cost.gpu_ms, Some(&block.cost));
        for StepReport { name, cost, dispatches, .. } in &block.steps {
            match &dispatches[..] {
                [only] => row(format!("  {name}"), &only.kernel, cost.gpu_ms, Some(cost)),
                several => {
                    row(format!("  {name}"), "", cost.gpu_ms, Some(cost));
                    several.iter().for_each(|one| row(String::new(), &one.kernel, one.gpu_ms, None));
                }
            }
        }
    }
    let on = if number.is_empty() { String::new() } else { format!(" on device {number}") };
    format!("\n{}{on}: {}\n{}", workload.name, workload.what, table.render())
}

/// A line per workload and device.
pub fn csv(reports: &[Report]) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::io("standard output", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = "workload,what,n,c,h,w,flops,executed_flops,bytes,intensity,host_p10_ms,median_ms,host_p90_ms,device_p10_ms,device_ms,\
        device_p90_ms,gpu_p10_ms,gpu_ms,gpu_p90_ms,gflops,executed_gflops,gbps,share_of_fma,share_of_matrix,share_of_copy,share_of_roof,rounds,\
        steady,largest_error,device,backend,driver";
    writer.write_record(columns.split(',')).map_err(failed)?;
    for report in reports {
        for workload in &report.workloads {
            writer.write_record(record(&report.device, workload)).map_err(failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The line of a workload.
fn record(on: &DeviceReport, workload: &WorkloadReport) -> Vec<String> {
    let WorkloadReport { host, device, gpu, .. } = workload;
    let mut record = vec![workload.name.clone(), workload.what.clone()];
    record.extend(workload.input.map(|size| size.to_string()));
    record.extend([workload.flops, workload.executed_flops, workload.bytes].map(|count| count.to_string()));
    record.push(workload.intensity.to_string());
    for times in [Some(*host), Some(*device), *gpu] {
        let ms = |of: fn(Quantiles) -> f64| times.map_or(String::new(), |times| of(times).to_string());
        record.extend([ms(|times| times.p10_ms), ms(|times| times.p50_ms), ms(|times| times.p90_ms)]);
    }
    record.extend([workload.gflops, workload.executed_gflops, workload.gbps].map(|speed| speed.to_string()));
    let WorkloadReport { share_of_fma, share_of_matrix, share_of_copy, share_of_roof, .. } = *workload;
    let shares = [Some(share_of_fma), share_of_matrix, Some(share_of_copy), Some(share_of_roof)];
    record.extend(shares.map(|share| share.map_or(String::new(), |share| share.to_string())));
    record.extend([workload.rounds.to_string(), workload.steady.to_string(), workload.largest_error.to_string()]);
    record.extend([&on.name, &on.backend, &on.driver].map(String::clone));
    record
}
