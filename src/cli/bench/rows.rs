//! Reports as CSV: a row for each workload on each device. Each row names workload, machine,
//! device and settings.

use wgpu_bottleneck::gpu::Ceilings;

use super::super::error::CliError;
use super::device::DeviceReport;
use super::machine::Machine;
use super::measure::Quantiles;
use super::provenance::Provenance;
use super::report::{Report, WorkloadReport};

/// A column's name and its value in a row; empty if there is none.
type Field = (&'static str, String);

/// The reports as CSV.
pub fn csv(reports: &[Report]) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::io("standard output", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = reports
        .iter()
        .flat_map(|report| report.workloads.iter().map(move |workload| row(report, workload)));
    for (index, row) in rows.enumerate() {
        if index == 0 {
            writer.write_record(row.iter().map(|(name, _)| name)).map_err(failed)?;
        }
        writer.write_record(row.iter().map(|(_, value)| value)).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value as text; empty for `None`.
fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn row(report: &Report, workload: &WorkloadReport) -> Vec<Field> {
    let mut row = measured(workload);
    row.extend(device(&report.device));
    row.extend(ceilings(&report.ceilings));
    row.extend([
        ("quick", report.quick.to_string()),
        ("plan", report.plan.clone()),
        ("precision", report.precision.clone()),
        ("weights", or_empty(workload.weights.as_ref())),
    ]);
    row.extend(provenance(&report.provenance));
    row
}

/// The workload and its times.
fn measured(workload: &WorkloadReport) -> Vec<Field> {
    let [n, c, h, w] = workload.input.map(|size| size.to_string());
    let mut row = vec![("workload", workload.name.clone()), ("what", workload.what.clone())];
    row.extend([("n", n), ("c", c), ("h", h), ("w", w)]);
    row.extend([
        ("flops", workload.flops.to_string()),
        ("executed_flops", workload.executed_flops.to_string()),
        ("bytes", workload.bytes.to_string()),
        ("intensity", workload.intensity.to_string()),
    ]);
    let times = [
        (["host_p10_ms", "median_ms", "host_p90_ms"], Some(workload.host)),
        (["device_p10_ms", "device_ms", "device_p90_ms"], Some(workload.device)),
        (["gpu_p10_ms", "gpu_ms", "gpu_p90_ms"], workload.gpu),
    ];
    for (names, times) in times {
        let ms: [fn(Quantiles) -> f64; 3] =
            [|times| times.p10_ms, |times| times.p50_ms, |times| times.p90_ms];
        row.extend(names.into_iter().zip(ms.map(|ms| or_empty(times.map(ms)))));
    }
    row.extend([
        ("gflops", workload.gflops.to_string()),
        ("executed_gflops", workload.executed_gflops.to_string()),
        ("gbps", workload.gbps.to_string()),
        ("share_of_fma", or_empty(workload.share_of_fma)),
        ("share_of_matrix", or_empty(workload.share_of_matrix)),
        ("share_of_copy", or_empty(workload.share_of_copy)),
        ("share_of_roof", or_empty(workload.share_of_roof)),
        ("rounds", workload.rounds.to_string()),
        ("steady", workload.steady.to_string()),
        ("largest_error", workload.largest_error.to_string()),
    ]);
    row
}

fn device(device: &DeviceReport) -> [Field; 8] {
    let [least, most] = device.subgroup_sizes.map_or([None; 2], |sizes| sizes.map(Some));
    [
        ("device", device.name.clone()),
        ("backend", device.backend.clone()),
        ("driver", device.driver.clone()),
        ("driver_version", or_empty(device.driver_version.as_ref())),
        ("vendor_id", or_empty(device.vendor_id.as_ref())),
        ("device_id", or_empty(device.device_id.as_ref())),
        ("subgroup_min_size", or_empty(least)),
        ("subgroup_max_size", or_empty(most)),
    ]
}

fn ceilings(ceilings: &Ceilings) -> [Field; 7] {
    [
        ("fma_gflops", ceilings.fma_gflops.to_string()),
        ("fma_f16_gflops", or_empty(ceilings.fma_f16_gflops)),
        ("matrix_gflops", or_empty(ceilings.matrix_gflops)),
        ("copy_gbps", ceilings.copy_gbps.to_string()),
        ("empty_dispatch_us", ceilings.empty_dispatch_us.to_string()),
        ("barrier_us", or_empty(ceilings.barrier_us)),
        ("barrier_noise_us", ceilings.barrier_noise_us.to_string()),
    ]
}

fn provenance(from: &Provenance) -> [Field; 9] {
    let machine = from.machine.as_ref();
    let of_machine =
        |of: fn(&Machine) -> &str| machine.map_or(String::new(), |machine| of(machine).to_owned());
    [
        ("date", or_empty(from.date.as_ref())),
        ("version", from.version.clone()),
        ("commit", or_empty(from.commit.as_ref())),
        ("modified", or_empty(from.modified)),
        ("command", or_empty(from.command.as_ref())),
        ("os", of_machine(|machine| &machine.os)),
        ("os_version", of_machine(|machine| machine.os_version.as_deref().unwrap_or_default())),
        ("processor", of_machine(|machine| &machine.processor)),
        ("cores", or_empty(machine.map(|machine| machine.cores))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;
    use super::*;

    #[test]
    fn what_is_unknown_is_empty() -> Result<(), CliError> {
        let value = |report: &Report, name: &str| {
            let row = row(report, &report.workloads[0]);
            row.into_iter().find(|(column, _)| *column == name).map(|(_, value)| value)
        };
        let of = |report: &Report| {
            ["share_of_roof", "share_of_matrix", "barrier_us"].map(|name| value(report, name))
        };
        assert_eq!(of(&sample(false)), ["0.5", "", "0.25"].map(|value| Some(value.to_owned())));
        let mut quick = sample(true);
        quick.ceilings.barrier_us = None;
        assert_eq!(of(&quick), [const { Some(String::new()) }; 3]);
        let text = csv(&[sample(false), quick])?;
        assert_eq!(text.lines().count(), 3, "{text}");
        Ok(())
    }
}
