//! A bar for every layer: its GPU time, and within it the least time that the device's ceilings
//! allow.

use maud::{Markup, html};

use super::super::parts::{BlockReport, StepReport};
use super::super::report::{Report, WorkloadReport};
use super::notation::{colour, percent, short};

/// The layers of every workload, the first one's unfolded.
pub fn all(report: &Report) -> Markup {
    if report.workloads.iter().all(|workload| workload.gpu.is_none()) {
        return html! {
            p { "This device reports no GPU times, so there are no times of layers." }
        };
    }
    html! {
        p {
            "Median GPU time."
            @if !report.quick {
                " The filled part of a bar is the layer's time at the ceiling of the device."
            }
        }
        @for (index, workload) in report.workloads.iter().enumerate() {
            details class=(colour(index)) open[index == 0] {
                summary {
                    span.swatch {} b { (workload.name) } " " (workload.what) " "
                    @if let Some(ms) = workload.gpu_ms { small { (short(ms)) " ms" } }
                }
                (layers(workload))
            }
        }
    }
}

fn layers(workload: &WorkloadReport) -> Markup {
    let steps = || workload.blocks.iter().flat_map(|block| &block.steps);
    let longest = steps().filter_map(|step| step.cost.gpu_ms).fold(0.0, f64::max);
    html! {
        div.layers {
            @for block in &workload.blocks {
                @if block.steps.len() > 1 { (heading(block)) }
                @for step in &block.steps { (layer(block, step, longest)) }
            }
        }
    }
}

/// The line of a block: its time, and its share of the roof.
fn heading(block: &BlockReport) -> Markup {
    let ms = block.cost.gpu_ms;
    html! {
        span.block { (block.name) }
        span {}
        span.block.number { @if let Some(ms) = ms { (short(ms)) " ms" } }
        span.block.number {
            @if let Some(share) = block.cost.share_of_roof() { (percent(share)) " of roof" }
        }
        span.kernel {}
    }
}

/// The line of a step. The length of a bar is its time; `longest` fills the line.
fn layer(block: &BlockReport, step: &StepReport, longest: f64) -> Markup {
    let name = step.name.strip_prefix(&format!("{}.", block.name)).unwrap_or(&step.name);
    let ms = step.cost.gpu_ms;
    let of_line = |ms: f64| if longest > 0.0 { ms / longest } else { 0.0 };
    let roof = step.cost.share_of_roof();
    html! {
        span.label { (name) }
        span.bar title=(tooltip(step)) {
            i style=(width(ms.map_or(0.0, of_line))) { b style=(width(roof.unwrap_or(0.0))) {} }
        }
        span.number { @if let Some(ms) = ms { (short(ms)) " ms" } }
        span.number { @if let Some(roof) = roof { (percent(roof)) " of roof" } }
        span.kernel {
            @for (index, one) in step.dispatches.iter().enumerate() {
                @if index > 0 { " + " }
                (one.kernel)
            }
        }
    }
}

fn width(share: f64) -> String {
    format!("width:{:.1}%", share.clamp(0.0, 1.0) * 100.0)
}

/// The details that do not fit into a line.
fn tooltip(step: &StepReport) -> String {
    let cost = &step.cost;
    let rate = |amount: u64, unit: &str| {
        cost.giga_a_second(amount).map(|rate| format!(", {} {unit}", short(rate)))
    };
    let mut text = step.name.clone();
    text.extend(rate(cost.flops, "GFLOP/s"));
    text.extend(rate(cost.bytes, "GB/s"));
    for one in &step.dispatches {
        let [x, y, z] = one.workgroups;
        let ms = one.gpu_ms.map_or(String::new(), |ms| format!(", {} ms", short(ms)));
        text += &format!("\n{}, {x} × {y} × {z} workgroups{ms}", one.kernel);
    }
    text
}
