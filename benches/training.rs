//! What a training step costs beside an eval run of the same unfolded block, on the device, in turns.
//! What is measured and what is not: benches/README.md.
//!
//! No criterion here: the ratio of two things in one round is what counts, as a machine's speed comes and goes.

mod support;

use std::time::Instant;

use support::{Random, Result, block_file, download_output, image, own_buffers};
use wgpu_bottleneck::gpu::{Bound, Executor, ExecutorOptions};
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::{
    Block, BlockOptions, Bottleneck, Gpu, HostTensor, LoadOptions, Model, PlanKind, Shape, StateDict, TrainableBlock,
    TrainedBlock, TrainingOptions,
};

/// How far the gradients of the timed kernels may be from those of the plainest ones, as a share of the largest value.
const TOLERANCE: f64 = 2e-5;

/// W1, W4 and W5 of `bottleneck bench`, at this batch.
fn cases(batch: usize) -> Result<Vec<(&'static str, Bottleneck, Shape)>> {
    Ok(vec![
        ("w1", Bottleneck::torchvision(256, 64).build()?, Shape::new(batch, 256, 56, 56)?),
        ("w4", Bottleneck::torchvision(512, 128).groups(32).base_width(4).build()?, Shape::new(batch, 512, 28, 28)?),
        ("w5", Bottleneck::torchvision(2048, 512).dilation(2).build()?, Shape::new(batch, 2048, 28, 28)?),
    ])
}

/// A block in training mode, by one choice of kernels, after one step.
fn trained(
    gpu: &Gpu,
    dict: &StateDict,
    options: &BlockOptions,
    [input, grad_out]: [&HostTensor; 2],
    kernels: KernelChoice,
) -> Result<(TrainedBlock, HostTensor)> {
    let block = TrainableBlock::from_state_dict(dict, "", options)?;
    let loading = LoadOptions { kernels, executor: ExecutorOptions::default(), ..LoadOptions::default() };
    let mut block = TrainedBlock::load(gpu, block, input.shape(), &TrainingOptions::default(), &loading)?;
    let gradient = block.step(input, grad_out)?.gradients.input;
    Ok((block, gradient))
}

/// Seconds of one run, from submit to the end of the wait.
fn once(gpu: &Gpu, bound: &Bound) -> Result<f64> {
    let commands = bound.record()?;
    let start = Instant::now();
    gpu.queue().submit(commands);
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Each step's GPU time, the least of some runs, in the order in which they run.
fn print_steps(executor: &Executor, bound: &Bound) -> Result<()> {
    let Some(timer) = bound.timer()? else {
        println!("  no timestamps");
        return Ok(());
    };
    let mut least: Vec<f64> = Vec::new();
    for _ in 0..5 {
        let Some(spans) = timer.run()?.dispatches else { continue };
        let seconds: Vec<f64> = spans.iter().map(|span| (span.end - span.start).as_secs_f64()).collect();
        least = if least.is_empty() { seconds } else { least.iter().zip(seconds).map(|(a, b)| a.min(b)).collect() };
    }
    let recording = executor.recording();
    let mut at = 0;
    for step in recording.segments.iter().flat_map(|segment| &segment.steps) {
        let times: Vec<f64> = least.iter().skip(at).take(step.dispatches.len()).map(|seconds| 1e3 * seconds).collect();
        at += step.dispatches.len();
        let kernels: Vec<String> = step.dispatches.iter().map(|dispatch| dispatch.kernel.name()).collect();
        let name = &step.step.module;
        println!("  {name:24} {:8.2} ms {times:6.2?}  {}", times.iter().sum::<f64>(), kernels.join(", "));
    }
    Ok(())
}

/// The largest difference as a share of the largest value; infinite for a NaN.
fn off(expected: &HostTensor, found: &HostTensor) -> f64 {
    let largest = expected.data().iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
    let pairs = expected.data().iter().zip(found.data());
    let apart = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs() / largest);
    apart.fold(0.0, |worst: f64, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) })
}

fn main() -> Result<()> {
    // As cargo test has benches run: for an instant, so that none rots.
    let briefly = std::env::args().any(|arg| arg == "--test") || !std::env::args().any(|arg| arg == "--bench");
    let steps = std::env::args().any(|arg| arg == "--steps");
    let (batch, rounds) = if briefly { (1, 1) } else { (4, 9) };
    let gpu = Gpu::new()?;
    println!(
        "{}, batch {batch}, {rounds} rounds: eval unfused, training step, and how many times as long in the median",
        gpu.describe()
    );
    for (name, spec, shape) in cases(batch)?.into_iter().take(if briefly { 1 } else { usize::MAX }) {
        let mut random = Random(1);
        let dict = StateDict::from_bytes(block_file(&spec, &mut random)?)?;
        let options = BlockOptions {
            dilation: spec.dilation(),
            groups: Some(spec.groups()),
            base_width: Some(spec.base_width()),
            ..BlockOptions::default()
        };
        let (input, grad_out) = (image(shape, &mut random), image(shape, &mut random));
        let pair = [&input, &grad_out];
        let (_, expected) = trained(&gpu, &dict, &options, pair, KernelChoice::Nth(0))?;
        let (step, gradient) = trained(&gpu, &dict, &options, pair, KernelChoice::Ranked)?;
        let off = off(&expected, &gradient);
        if off > TOLERANCE {
            return Err(format!("{name}: the gradient is off by {off:.1e}").into());
        }
        let block = Block::from_state_dict(&dict, "", &options)?;
        let loading = LoadOptions { plan: PlanKind::Unfused, ..LoadOptions::default() };
        let model = Model::load(&gpu, &[block], shape, &loading)?;
        let executors = [model.executor(), step.executor()];
        let buffers = executors.map(|executor| own_buffers(&gpu, executor, &input));
        let [eval, training] = buffers;
        let (eval, training) = (eval?, training?);
        let bound = [model.bind(&eval.0, &eval.1)?, step.executor().bind(&training.0, &training.1)?];
        let mut times: [Vec<f64>; 2] = Default::default();
        let mut ratios = Vec::new();
        // One round more, which warms up.
        for round in 0..=rounds {
            let [eval, training] = [once(&gpu, &bound[0])?, once(&gpu, &bound[1])?];
            if round > 0 {
                times[0].push(eval);
                times[1].push(training);
                ratios.push(training / eval);
            }
        }
        // What was timed gives the same bits once more.
        if download_output(&gpu, step.executor(), &training.1)? != gradient {
            return Err(format!("{name}: the timed runs came to something else").into());
        }
        let [eval, training] = times.map(|times| 1e3 * median(times));
        if steps {
            print_steps(model.executor(), &bound[0])?;
            print_steps(step.executor(), &bound[1])?;
        }
        println!("{name}: {eval:.1} ms, {training:.1} ms, {:.2} x (off by {off:.1e})", median(ratios));
    }
    Ok(())
}
