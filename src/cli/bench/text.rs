//! A report as tables, JSON or CSV.

use super::super::error::CliError;
use super::super::output::{Cell, Table};
use super::report::{Part, Report, WorkloadReport};

/// The report as JSON.
pub fn json(report: &Report) -> Result<String, CliError> {
    let failed = |error: serde_json::Error| CliError::io("standard output", error.into());
    Ok(serde_json::to_string_pretty(report).map_err(failed)? + "\n")
}

/// The report as tables for people; with `steps` also every dispatch.
pub fn tables(report: &Report, steps: bool) -> String {
    let mut text = heading(report) + "\n" + &times(&report.workloads) + "\n" + &shares(&report.workloads);
    text += "  (GFLOP: convolutions only, two operations per multiply-add; MB: the least memory traffic. host: from host array to\n  \
        host array; device: input and output staying there; GPU: the sum of the dispatches' times; medians. of roof: the time\n  \
        at which every step would meet the device's ceiling of arithmetic or of traffic, as a share of the time taken)\n";
    if report.workloads.iter().any(|workload| !workload.steady) {
        text += "  (~: the medians had not come to rest when the time was up: a busy machine, or little time)\n";
    }
    if steps {
        report.workloads.iter().for_each(|workload| text += &parts(workload));
    }
    text
}

/// What everything ran on, and what that can do.
fn heading(report: &Report) -> String {
    let (device, ceilings) = (&report.device, &report.ceilings);
    let driver = if device.driver.is_empty() { String::new() } else { format!(", {}", device.driver) };
    let mut text = format!("device    {} ({}, {}{driver})\n", device.name, device.backend, device.kind);
    text += &format!(
        "ceilings  {:.1} GFLOP/s of multiply-adds, {:.1} GB/s of copying, {:.2} us an empty dispatch, {:.2} us more with a barrier\n",
        ceilings.fma_gflops, ceilings.copy_gbps, ceilings.empty_dispatch_us, ceilings.barrier_us
    );
    let kernel = report.kernel.as_deref().map_or(String::new(), |kernel| format!(", kernel {kernel} where it fits"));
    let timestamps = report.timestamps.as_deref().unwrap_or("none, the device has no timestamps");
    text += &format!("plan      {}{kernel}; GPU times: {timestamps}\n", report.plan);
    if report.quick {
        text += "quick     too little time was spent to compare these numbers with others\n";
    }
    text
}

fn times(workloads: &[WorkloadReport]) -> String {
    let mut table = Table::new(&[
        "workload",
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
    for workload in workloads {
        let WorkloadReport { host, device, .. } = workload;
        let ms = |ms: f64| format!("{ms:.3}");
        let input = workload.input.map(|size| size.to_string()).join("x");
        let rounds = format!("{}{}", if workload.steady { "" } else { "~" }, workload.rounds);
        let error = format!("{:.1e}", workload.largest_error);
        let numbers = [host.p50_ms, host.p10_ms, host.p90_ms, device.p50_ms, device.p10_ms, device.p90_ms].map(ms);
        let gpu = workload.gpu_ms.map_or("-".to_owned(), ms);
        let start = [workload.name.clone(), input];
        table.row(start.into_iter().chain(numbers).chain([gpu, rounds, error]).map(Cell::from));
    }
    table.render()
}

fn shares(workloads: &[WorkloadReport]) -> String {
    let mut table = Table::new(&[
        "workload",
        "",
        ">GFLOP",
        ">MB",
        ">FLOP/byte",
        ">GFLOP/s",
        ">GB/s",
        ">of FMA",
        ">of copy",
        ">of roof",
    ]);
    for workload in workloads {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        table.row([
            workload.name.as_str().into(),
            workload.what.as_str().into(),
            format!("{:.3}", workload.flops as f64 / 1e9).into(),
            format!("{:.2}", workload.bytes as f64 / 1e6).into(),
            format!("{:.1}", workload.intensity).into(),
            format!("{:.1}", workload.gflops).into(),
            format!("{:.1}", workload.gbps).into(),
            percent(workload.share_of_fma).into(),
            percent(workload.share_of_copy).into(),
            percent(workload.share_of_roof).into(),
        ]);
    }
    table.render()
}

/// Every block and step of a workload.
fn parts(workload: &WorkloadReport) -> String {
    let mut table = Table::new(&["step", "kernel", ">GPU ms", ">GFLOP/s", ">GB/s"]);
    let a_second = |amount: u64, ms: Option<f64>| match ms {
        Some(ms) if ms > 0.0 => format!("{:.1}", amount as f64 / ms / 1e6),
        _ => "-".to_owned(),
    };
    let mut row = |name: String, kernels: &str, part: &Part| {
        let ms = part.gpu_ms.map_or("-".to_owned(), |ms| format!("{ms:.3}"));
        let speeds = [a_second(part.flops, part.gpu_ms), a_second(part.bytes, part.gpu_ms)];
        table.row([name, kernels.to_owned(), ms].into_iter().chain(speeds).map(Cell::from));
    };
    let mut steps = workload.steps.iter();
    for block in &workload.blocks {
        row(block.name.clone(), "", block);
        // One kernel a step, as a recording must have.
        for step in steps.by_ref().take(block.kernels.len()) {
            row(format!("  {}", step.name), &step.kernels.join(" "), step);
        }
    }
    format!("\n{}: {}\n{}", workload.name, workload.what, table.render())
}

/// A line per workload.
pub fn csv(report: &Report) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::io("standard output", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = "workload,what,n,c,h,w,flops,bytes,host_p10_ms,median_ms,host_p90_ms,device_p10_ms,device_ms,\
        device_p90_ms,gpu_ms,gflops,gbps,share_of_fma,share_of_copy,share_of_roof,rounds,steady,largest_error,device";
    writer.write_record(columns.split(',')).map_err(failed)?;
    for workload in &report.workloads {
        let WorkloadReport { host, device, .. } = workload;
        let mut record = vec![workload.name.clone(), workload.what.clone()];
        record.extend(workload.input.map(|size| size.to_string()));
        record.extend([workload.flops, workload.bytes].map(|count| count.to_string()));
        record.extend([host.p10_ms, workload.median_ms, host.p90_ms].map(|ms| ms.to_string()));
        record.extend([device.p10_ms, workload.device_ms, device.p90_ms].map(|ms| ms.to_string()));
        record.push(workload.gpu_ms.map_or(String::new(), |ms| ms.to_string()));
        record.extend([workload.gflops, workload.gbps].map(|speed| speed.to_string()));
        let shares = [workload.share_of_fma, workload.share_of_copy, workload.share_of_roof];
        record.extend(shares.map(|share| share.to_string()));
        record.extend([workload.rounds.to_string(), workload.steady.to_string(), workload.largest_error.to_string()]);
        record.push(report.device.name.clone());
        writer.write_record(&record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
