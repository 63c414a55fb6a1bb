//! The tables of the page.

use maud::{Markup, html};

use super::super::device::DeviceReport;
use super::super::measure::Quantiles;
use super::super::report::Report;
use super::notation::{colour, percent, shape, short};

/// The workloads of a device; the dots are the roofline's legend.
pub fn workloads(report: &Report) -> Markup {
    let shares = report.workloads.iter().any(|workload| workload.share_of_roof.is_some());
    html! {
        div.scroll {
            table {
                tr {
                    th { "workload" } th { "input" }
                    @for heading in [
                        "host ms",
                        "device ms",
                        "GPU ms",
                        "GFLOP/s",
                        "GB/s",
                        "FLOP/byte",
                    ] {
                        th.number { (heading) }
                    }
                    @if shares { th { "of roof" } }
                    th.number { "error" }
                }
                @for (index, workload) in report.workloads.iter().enumerate() {
                    tr class=(colour(index)) {
                        td {
                            span.swatch {} b { (workload.name) @if !workload.steady { " ~" } } br;
                            small { (workload.what) }
                        }
                        td { (shape(workload)) }
                        td.number { (time(&workload.host)) }
                        td.number { (time(&workload.device)) }
                        td.number {
                            @if let Some(gpu) = &workload.gpu { (time(gpu)) } @else { "–" }
                        }
                        td.number { (short(workload.gflops)) }
                        td.number { (short(workload.gbps)) }
                        td.number { (short(workload.intensity)) }
                        @if let Some(share) = workload.share_of_roof {
                            td { (meter(share)) (percent(share)) }
                        }
                        td.number { (format!("{:.0e}", workload.largest_error)) }
                    }
                }
            }
        }
        p {
            "Medians, below them the tenth and ninetieth percentiles. Host: from host array to \
            host array; device: input and output stay there; GPU: the sum of the dispatches' \
            times. "
            @if shares {
                "Of roof: the ideal time, with every step at the device's ceiling of arithmetic or \
                of traffic, as a share of the measured time. "
            }
            "Error: the largest, as a share of the largest value."
            @if report.workloads.iter().any(|workload| !workload.steady) {
                " ~: the medians were not steady at the time limit: the machine was busy, or the \
                limit was short."
            }
        }
    }
}

/// Every workload on every device, as multiples of the first.
pub fn side_by_side(reports: &[Report]) -> Markup {
    let Some((first, others)) = reports.split_first() else { return Markup::default() };
    html! {
        h2 { "Side by side" }
        p {
            "Milliseconds from host array to host array, and the ratio to the first device's time."
        }
        div.scroll {
            table {
                tr {
                    th { "workload" }
                    @for report in reports { th.number { (report.device.short()) } }
                }
                @for (index, workload) in first.workloads.iter().enumerate() {
                    tr {
                        td { b { (workload.name) } br; small { (workload.what) } }
                        td.number { (time(&workload.host)) }
                        @for other in others {
                            @if let Some(other) = other.workloads.get(index) {
                                td.number {
                                    b { (short(other.median_ms / workload.median_ms)) " ×" }
                                    " "
                                    (time(&other.host))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The origin that all reports share.
pub fn provenance(report: &Report) -> Markup {
    let from = &report.provenance;
    let commit = from.commit.as_ref().map(|commit| match from.modified {
        Some(true) => format!("{commit} with changes"),
        Some(false) => format!("{commit}, sources as committed"),
        None => commit.clone(),
    });
    let machine = from.machine.as_ref();
    let cores = machine.map(|machine| machine.cores.to_string());
    facts(&[
        ("date", from.date.as_deref()),
        ("program's version", Some(&from.version)),
        ("commit", commit.as_deref()),
        ("command", from.command.as_deref()),
        ("operating system", machine.map(|machine| machine.os.as_str())),
        ("OS version", machine.and_then(|machine| machine.os_version.as_deref())),
        ("processor", machine.map(|machine| machine.processor.as_str())),
        ("cores", cores.as_deref()),
    ])
}

/// The device of a report.
pub fn device(device: &DeviceReport) -> Markup {
    let lanes = device.subgroup_sizes.map(|[least, most]| match most {
        _ if least == most => least.to_string(),
        _ => format!("{least} to {most}"),
    });
    facts(&[
        ("adapter", Some(&device.name)),
        ("backend", Some(&device.backend)),
        ("kind", Some(&device.kind)),
        ("driver", Some(&device.driver)),
        ("driver version", device.driver_version.as_deref()),
        ("vendor ID", device.vendor_id.as_deref()),
        ("device ID", device.device_id.as_deref()),
        ("subgroup sizes", lanes.as_deref()),
    ])
}

/// Names and values. An unknown value is a dash.
fn facts(facts: &[(&str, Option<&str>)]) -> Markup {
    html! {
        table.facts {
            @for (name, value) in facts {
                tr {
                    th { (name) }
                    td { (value.filter(|value| !value.is_empty()).unwrap_or("–")) }
                }
            }
        }
    }
}

/// A median, and its spread.
fn time(times: &Quantiles) -> Markup {
    html! { (short(times.p50_ms)) br; small { (short(times.p10_ms)) "–" (short(times.p90_ms)) } }
}

/// A share as a bar of at most 100 %.
fn meter(share: f64) -> Markup {
    html! { span.meter { i style=(format!("width:{:.1}%", share.clamp(0.0, 1.0) * 100.0)) {} } }
}
