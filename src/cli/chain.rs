//! The default run's fourth part: a chain of sixteen blocks, and the CPU time of recording and
//! submitting it.

use std::time::Duration;

use wgpu_bottleneck::tensor::compare;
use wgpu_bottleneck::{Block, Bottleneck, Error, PlanKind, Shape};

use super::error::CliError;
use super::forced::Forced;
use super::output::{self, Cell, Table};
use super::seeded;
use super::timing::{self, Buffers, Run, median};

/// Blocks per layer of ResNet-50, sixteen in all.
const LAYERS: [usize; 4] = [3, 4, 6, 3];
/// ResNet-50's planes divided by four: the CPU time does not depend on them.
const FIRST_PLANES: usize = 16;

/// Runs the part. Returns whether the results were correct.
pub fn run(kernels: &Forced<'_>) -> Result<bool, CliError> {
    output::progress("a chain of 16 blocks ...");
    output::heading(
        "A chain: ResNet-50's 16 blocks at a quarter of its channels, recorded again for every run",
    )?;
    let blocks = blocks()?;
    let input = seeded::input(Shape::new(1, FIRST_PLANES, 16, 16).map_err(Error::from)?, 1)?;
    let (gpu, model) = (kernels.gpu(), kernels.load(&blocks, input.shape(), PlanKind::Fused)?);
    let buffers = Buffers::new(model.executor(), &input)?;
    let runs = timing::interleaved(gpu, &[&buffers.bind(model.executor())?])?.concat();
    let comparison =
        compare(&model.reference(&input)?, &buffers.download(model.executor())?, model.tolerance());

    let recording = model.recording();
    let headings = [
        "input",
        ">blocks",
        ">dispatches",
        ">command buffers",
        ">submits",
        ">record us",
        ">submit us",
    ];
    let headings: Vec<&'static str> =
        headings.into_iter().chain([">sum us", ">largest error", ""]).collect();
    let mut table = Table::new(&headings);
    let us = |time: fn(&Run) -> Duration| {
        Cell::from(format!("{:.0}", median(runs.iter().map(|run| time(run).as_secs_f64())) * 1e6))
    };
    table.row([
        input.shape().into(),
        blocks.len().into(),
        recording.dispatch_count().into(),
        recording.segments.len().into(),
        1.into(),
        us(|run| run.record),
        us(|run| run.submit),
        us(|run| run.record + run.submit),
        format!("{:.1e}", comparison.relative_error()).into(),
        Cell::verdict(&comparison),
    ]);
    output::print(&table.render())?;
    Ok(comparison.passed())
}

/// The sixteen blocks with seeded weights.
fn blocks() -> Result<Vec<Block>, Error> {
    let (mut blocks, mut inplanes) = (Vec::new(), FIRST_PLANES);
    for (layer, count) in LAYERS.into_iter().enumerate() {
        let planes = FIRST_PLANES << layer;
        for index in 0..count {
            let stride = if layer > 0 && index == 0 { 2 } else { 1 };
            let spec = Bottleneck::torchvision(inplanes, planes)
                .stride(stride)
                .downsample(index == 0)
                .build()?;
            blocks.push(seeded::block(&spec, blocks.len() as u64)?);
            inplanes = spec.outplanes();
        }
    }
    Ok(blocks)
}
