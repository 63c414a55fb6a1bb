//! `bottleneck bench --html`: a report as one self-contained page without scripts.

mod layers;
mod notation;
mod roofline;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::notation::short;
use super::report::Report;
use super::text::NO_SHARES;

/// The style of the page, light and dark.
const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(reports: &[Report]) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "bottleneck bench" @for report in reports { ", " (report.device.short()) } }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "bottleneck bench" }
                    @if let Some(report) = reports.first() { (run(report)) }
                    @if reports.len() > 1 { (tables::side_by_side(reports)) }
                    @for report in reports { (device(report)) }
                }
            }
        }
    };
    markup.into_string()
}

/// The facts that all devices share.
fn run(report: &Report) -> Markup {
    html! {
        p {
            (report.plan) " plan, " (report.precision)
            @if let Some(kernel) = &report.kernel { ", kernel " (kernel) " where it fits" }
            ". Every workload's numbers were checked before it was timed."
        }
        @if report.quick {
            p.warning { "Do not compare these times with others; " (NO_SHARES) "." }
        }
        (tables::provenance(report))
    }
}

fn device(report: &Report) -> Markup {
    let (device, ceilings) = (&report.device, &report.ceilings);
    let card = |what: &str, value: f64, unit: &str| {
        html! { div { dt { (what) } dd { (short(value)) " " small { (unit) } } } }
    };
    html! {
        section {
            h2 { (device.name) }
            (tables::device(device))
            dl.cards {
                (card("multiply-adds", ceilings.fma_gflops, "GFLOP/s"))
                @if let Some(gflops) = ceilings.fma_f16_gflops {
                    (card("multiply-adds in f16", gflops, "GFLOP/s"))
                }
                @if let Some(gflops) = ceilings.matrix_gflops {
                    (card("matrix units", gflops, "GFLOP/s"))
                }
                (card("copying", ceilings.copy_gbps, "GB/s"))
                (card("empty dispatch", ceilings.empty_dispatch_us, "µs"))
                @if let Some(us) = ceilings.barrier_us { (card("barrier", us, "µs")) } @else {
                    div {
                        dt { "barrier" }
                        dd { small { "within noise (" (short(ceilings.barrier_noise_us)) " µs)" } }
                    }
                }
            }
            h3 { "Roofline" }
            (roofline::figure(report))
            h3 { "Workloads" }
            (tables::workloads(report))
            h3 { "Layers" }
            (layers::all(report))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;
    use super::*;

    #[test]
    fn shares_are_of_full_runs() {
        let full = page(&[sample(false)]);
        for part in
            ["polyline class=\"roof\"", "50 % of roof", "class=\"meter\"", "0.250 <small>µs"]
        {
            assert!(full.contains(part), "no {part:?} in {full}");
        }
        let mut report = sample(true);
        report.ceilings.barrier_us = None;
        let quick = page(&[report]);
        for part in ["polyline", " % of roof", "Of roof", "class=\"meter\""] {
            assert!(!quick.contains(part), "{part:?} in {quick}");
        }
        assert_eq!(quick.matches(NO_SHARES).count(), 1, "{quick}");
        assert!(quick.contains("within noise (0.100 µs)"), "{quick}");
    }
}
