//! Every candidate kernel on every layer shape of ResNet-50, ResNeXt-50 32x4d and a DeepLab's
//! layer4, batch 1, side by side, the ranking rule's pick marked. Prints a Markdown table. What is
//! measured and what is not: benches/README.md.
//!
//! `cargo bench --bench candidates -- [PART]` takes the layers whose name contains PART; under
//! `cargo test` a few run once.

mod support;

use std::ops::ControlFlow;

use support::Result;
use wgpu_bottleneck::kernel::Problem;
use wgpu_bottleneck::tune::{TuneEvent, TuneOptions, TunedKernel};
use wgpu_bottleneck::{Bottleneck, Gpu, PlanKind, Shape, network};

/// One convolution of a network.
struct Layer {
    name: String,
    problem: Problem,
    flops: f64,
}

/// The distinct convolutions of the fused blocks of a network whose layer1 runs at 56x56.
fn layers(network: &str, groups: usize, base_width: usize) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    let (mut inplanes, mut side) = (64, 56);
    for (stage, planes) in [64, 128, 256, 512].into_iter().enumerate() {
        for index in 0..2 {
            let stride = if index == 0 && stage > 0 { 2 } else { 1 };
            let spec = Bottleneck::torchvision(inplanes, planes)
                .groups(groups)
                .base_width(base_width)
                .stride(stride)
                .downsample(index == 0)
                .build()?;
            layers.extend(of_block(&format!("{network} layer{}.{index}", stage + 1), &spec, side)?);
            (inplanes, side) = (planes * 4, side / stride);
        }
    }
    Ok(layers)
}

/// The convolutions of a fused block.
fn of_block(name: &str, spec: &Bottleneck, side: usize) -> Result<Vec<Layer>> {
    let plan =
        network::plan_block(spec, Shape::new(1, spec.inplanes(), side, side)?, PlanKind::Fused)?;
    let layer = |step: usize| Layer {
        name: format!("{name} {}", plan.steps[step].role.name()),
        problem: plan.problem(&plan.steps[step]),
        flops: plan.step_flops(&plan.steps[step]) as f64,
    };
    Ok((0..plan.steps.len()).map(layer).collect())
}

/// Checks and times every candidate of a layer and prints its row. Returns the pick's time over the
/// best's.
fn contest(gpu: &Gpu, layer: &Layer, options: &TuneOptions) -> Result<f64> {
    let mut wrong = None;
    let table = gpu.tune(std::slice::from_ref(&layer.problem), options, |event| {
        if let TuneEvent::Rejected { kernel, why, .. } = event {
            wrong = Some(format!("{} {}: {why}", layer.name, kernel.name()));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(wrong) = wrong {
        return Err(wrong.into());
    }
    let shape = table.shapes().first().ok_or("no candidates")?;
    let cell = |TunedKernel { kernel, us }: &TunedKernel| {
        let mark = if *kernel == shape.rule { "**" } else { "" };
        format!("{mark}{} {:.1}{mark}", short(kernel), layer.flops / us / 1e3)
    };
    let cells: Vec<String> = shape.candidates.iter().map(cell).collect();
    let ratio = shape.behind().ok_or("the pick is no candidate")?;
    println!("| {} | {ratio:.2} | {} |", layer.name, cells.join(", "));
    Ok(ratio)
}

/// A kernel's name without what the candidates of a layer have in common:
/// `conv1x1_staged_l8s8r8c2`.
fn short(kernel: &str) -> &str {
    let flag = ["_bias", "_residual", "_relu"].iter().filter_map(|flag| kernel.find(flag)).min();
    &kernel[..flag.unwrap_or(kernel.len())]
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes --bench, `cargo test` passes nothing.
    let whole = arguments.iter().any(|argument| argument == "--bench");
    let options = if whole { TuneOptions::default() } else { TuneOptions { rounds: 1 } };
    let part = arguments.iter().find(|argument| !argument.starts_with('-'));
    let gpu = Gpu::new()?;
    println!("{}\n", gpu.describe());
    println!(
        "| layer | pick / best | candidates, best first, GFLOP/s, the pick in bold |\n| --- | --- \
        | --- |"
    );
    let deeplab = Bottleneck::torchvision(2048, 512).dilation(2).build()?;
    let deeplab = of_block("deeplab layer4.1", &deeplab, 28)?;
    let mut worst = (1.0, String::new());
    for layer in layers("resnet50", 1, 64)?
        .into_iter()
        .chain(layers("resnext50_32x4d", 32, 4)?)
        .chain(deeplab)
    {
        if part.is_some_and(|part| !layer.name.contains(part.as_str()))
            || (!whole && !layer.name.contains("layer3.1"))
        {
            continue;
        }
        let ratio = contest(&gpu, &layer, &options)?;
        if ratio > worst.0 {
            worst = (ratio, layer.name);
        }
    }
    println!(
        "\nThe pick is within {:.0} % of the best everywhere ({}).",
        (worst.0 - 1.0) * 100.0,
        worst.1
    );
    Ok(())
}
