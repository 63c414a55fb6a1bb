//! What a training step costs compared with an eval run of the same unfolded block, on the device,
//! in turns. What is measured and what is not: benches/README.md.
//!
//! No criterion here: the ratio of two things in one round is what counts, as a machine's speed
//! comes and goes.
//!
//! With `--peer FOLDER` it answers to benches/peers/compare instead: one block's step, on PyTorch's
//! numbers.

mod support;

use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Random, Result, block_file, download_output, image, own_buffers};
use wgpu_bottleneck::gpu::{Bound, Executor, ExecutorOptions};
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::{
    Block, BlockChain, BlockOptions, BlockState, BlockTrainer, Bottleneck, Gpu, HostTensor,
    LoadOptions, PlanKind, Shape, StateDict, TrainingOptions,
};

/// How far the output of the timed kernels may be from that of the plainest ones, as a share of the
/// largest value.
const OUTPUT_TOLERANCE: f64 = 1e-5;

/// How long the difference of their gradients of the input may be, as a share of the gradient's
/// length. Value by value they cannot be held against each other: where what a ReLU sees is nearly
/// zero, kernels that sum in another order disagree on whether it lets the gradient through, which
/// is some in a million values, and each of them a thousandth of the length.
const GRADIENT_TOLERANCE: f64 = 1e-2;

/// W1, W4 and W5 of `bottleneck bench`, at this batch.
fn cases(batch: usize) -> Result<Vec<(&'static str, Bottleneck, Shape)>> {
    Ok(vec![
        ("w1", Bottleneck::torchvision(256, 64).build()?, Shape::new(batch, 256, 56, 56)?),
        (
            "w4",
            Bottleneck::torchvision(512, 128).groups(32).base_width(4).build()?,
            Shape::new(batch, 512, 28, 28)?,
        ),
        (
            "w5",
            Bottleneck::torchvision(2048, 512).dilation(2).build()?,
            Shape::new(batch, 2048, 28, 28)?,
        ),
    ])
}

/// A block in training mode, by one choice of kernels, after one step: its output, and the
/// gradient of its input.
fn trained(
    gpu: &Gpu,
    dict: &StateDict,
    options: &BlockOptions,
    [input, grad_out]: [&HostTensor; 2],
    kernels: KernelChoice,
) -> Result<(BlockTrainer, [HostTensor; 2])> {
    let block = BlockState::from_state_dict(dict, "", options)?;
    let loading =
        LoadOptions { kernels, executor: ExecutorOptions::default(), ..LoadOptions::default() };
    let mut block =
        BlockTrainer::load(gpu, block, input.shape(), &TrainingOptions::default(), &loading)?;
    let step = block.step(input, grad_out)?;
    Ok((block, [step.out, step.gradients.input]))
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
        let seconds: Vec<f64> =
            spans.iter().map(|span| (span.end - span.start).as_secs_f64()).collect();
        least = if least.is_empty() {
            seconds
        } else {
            least.iter().zip(seconds).map(|(a, b)| a.min(b)).collect()
        };
    }
    let recording = executor.recording();
    let mut at = 0;
    for step in recording.segments.iter().flat_map(|segment| &segment.steps) {
        let times: Vec<f64> = least
            .iter()
            .skip(at)
            .take(step.dispatches.len())
            .map(|seconds| 1e3 * seconds)
            .collect();
        at += step.dispatches.len();
        let kernels: Vec<String> =
            step.dispatches.iter().map(|dispatch| dispatch.kernel.name()).collect();
        let name = &step.step.module;
        println!(
            "  {name:24} {:8.2} ms {times:6.2?}  {}",
            times.iter().sum::<f64>(),
            kernels.join(", ")
        );
    }
    Ok(())
}

/// Pairs of values that should be the same.
fn pairs(expected: &HostTensor, found: &HostTensor) -> impl Iterator<Item = (f64, f64)> {
    expected.data().iter().zip(found.data()).map(|(&a, &b)| (f64::from(a), f64::from(b)))
}

/// The largest difference as a share of the largest value; infinite for a NaN.
fn off(expected: &HostTensor, found: &HostTensor) -> f64 {
    let largest = pairs(expected, found).fold(0.0, |largest: f64, (a, _)| largest.max(a.abs()));
    let apart = pairs(expected, found).map(|(a, b)| (a - b).abs() / largest);
    apart.fold(0.0, |worst: f64, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) })
}

/// The length of the difference as a share of the length; NaN for a NaN.
fn length_off(expected: &HostTensor, found: &HostTensor) -> f64 {
    let [length, apart] = pairs(expected, found)
        .fold([0.0, 0.0], |[length, apart], (a, b)| [length + a * a, apart + (a - b) * (a - b)]);
    (apart / length).sqrt()
}

/// What the weights of a block do not say.
fn options(spec: &Bottleneck) -> BlockOptions {
    BlockOptions {
        dilation: spec.dilation(),
        groups: Some(spec.groups()),
        base_width: Some(spec.base_width()),
        ..BlockOptions::default()
    }
}

/// A row of numbers, to be compared.
fn row(values: Vec<f32>) -> Result<HostTensor> {
    Ok(HostTensor::new(Shape::new(1, 1, 1, values.len())?, values)?)
}

/// One step as benches/peers times it: held against what benches/peers/graphs.py wrote into a
/// folder, then timed for as many seconds as each line of stdin says, from recording to the end of
/// the wait. Answers are JSON, as burn's there.
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn peer(gpu: &Gpu, folder: &Path) -> Result<()> {
    let started = Instant::now();
    let workload = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let cases = cases(1)?;
    let (.., spec, _) =
        cases.iter().find(|(name, ..)| workload.starts_with(name)).ok_or("no such workload")?;
    let (weights, file) = (
        StateDict::open(folder.join("weights.safetensors"))?,
        StateDict::open(folder.join("step.safetensors"))?,
    );
    let (input, grad_out) = (file.nchw("input")?, file.nchw("grad_out")?);
    let block = BlockState::from_state_dict(&weights, "", &options(spec))?;
    let (training, loading) = (TrainingOptions::default(), LoadOptions::default());
    let mut block = BlockTrainer::load(gpu, block, input.shape(), &training, &loading)?;
    let step = block.step(&input, &grad_out)?;
    let first = started.elapsed().as_secs_f64();
    let error = off(&file.nchw("out")?, &step.out);
    let mut errors = vec![("out".to_owned(), error, OUTPUT_TOLERANCE)];
    let gradient = step.gradients.input;
    errors.push((
        "grad.input".into(),
        length_off(&file.nchw("grad.input")?, &gradient),
        GRADIENT_TOLERANCE,
    ));
    for (key, dims, values) in step.gradients.parameters {
        let key = format!("grad.{key}");
        let off = length_off(&row(file.weight(&key, &dims)?)?, &row(values)?);
        errors.push((key, off, GRADIENT_TOLERANCE));
    }
    if errors.len() != 1 + file.keys().filter(|key| key.starts_with("grad.")).count() {
        return Err("not every gradient".into());
    }
    if let Some((key, off, _)) =
        errors.iter().find(|(_, off, tolerance)| off.is_nan() || off > tolerance)
    {
        println!("{}", json!({"refused": format!("wrong: {key} is off by {off:.1e}")}));
        return Ok(());
    }
    let (input, output) = own_buffers(gpu, block.executor(), &input)?;
    let bound = block.executor().bind(&input, &output)?;
    let run = || -> Result<f64> {
        let start = Instant::now();
        gpu.queue().submit(bound.record()?);
        gpu.wait()?;
        Ok(1e3 * start.elapsed().as_secs_f64())
    };
    run()?;
    let errors: serde_json::Map<_, _> =
        errors.into_iter().map(|(key, off, _)| (key, json!(off))).collect();
    println!(
        "{}",
        json!({"error": error, "errors": errors, "first_s": first, "version": gpu.describe()})
    );
    for line in stdin().lock().lines() {
        let until = Instant::now() + Duration::from_secs_f64(line?.trim().parse()?);
        let mut ms = Vec::new();
        while Instant::now() < until || ms.len() < 3 {
            ms.push(run()?);
        }
        if download_output(gpu, block.executor(), &output)? != gradient {
            return Err("the timed runs came to something else".into());
        }
        println!("{}", json!({"ms": ms}));
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn main() -> Result<()> {
    // As cargo test has benches run: for an instant, so that none rots.
    let briefly = std::env::args().any(|arg| arg == "--test")
        || !std::env::args().any(|arg| arg == "--bench");
    let steps = std::env::args().any(|arg| arg == "--steps");
    let (batch, rounds) = if briefly { (1, 1) } else { (4, 9) };
    let gpu = Gpu::new()?;
    if let Some(at) = std::env::args().position(|arg| arg == "--peer") {
        return peer(&gpu, Path::new(&std::env::args().nth(at + 1).ok_or("--peer FOLDER")?));
    }
    println!(
        "{}, batch {batch}, {rounds} rounds: eval unfused, training step, and how many times as \
        long in the median",
        gpu.describe()
    );
    for (name, spec, shape) in cases(batch)?.into_iter().take(if briefly { 1 } else { usize::MAX })
    {
        let mut random = Random(1);
        let dict = StateDict::from_bytes(block_file(&spec, &mut random)?)?;
        let options = options(&spec);
        let (input, grad_out) = (image(shape, &mut random), image(shape, &mut random));
        let pair = [&input, &grad_out];
        let (_, expected) = trained(&gpu, &dict, &options, pair, KernelChoice::Nth(0))?;
        let (step, found) = trained(&gpu, &dict, &options, pair, KernelChoice::Ranked)?;
        let (off, length_off) = (off(&expected[0], &found[0]), length_off(&expected[1], &found[1]));
        // Not the other way round, which a NaN would pass.
        if !(off <= OUTPUT_TOLERANCE && length_off <= GRADIENT_TOLERANCE) {
            return Err(format!(
                "{name}: the output is off by {off:.1e}, the gradient by {length_off:.1e}"
            )
            .into());
        }
        let block = Block::from_state_dict(&dict, "", &options)?;
        let loading = LoadOptions { plan: PlanKind::Unfused, ..LoadOptions::default() };
        let model = BlockChain::load(&gpu, &[block], shape, &loading)?;
        let executors = [model.executor(), step.executor()];
        let buffers = executors.map(|executor| own_buffers(&gpu, executor, &input));
        let [eval, training] = buffers;
        let (eval, training) = (eval?, training?);
        let bound =
            [model.bind(&eval.0, &eval.1)?, step.executor().bind(&training.0, &training.1)?];
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
        if download_output(&gpu, step.executor(), &training.1)? != found[1] {
            return Err(format!("{name}: the timed runs came to something else").into());
        }
        let [eval, training] = times.map(|times| 1e3 * median(times));
        if steps {
            print_steps(model.executor(), &bound[0])?;
            print_steps(step.executor(), &bound[1])?;
        }
        println!(
            "{name}: {eval:.1} ms, {training:.1} ms, {:.2} x (off by {off:.1e}, {length_off:.1e})",
            median(ratios)
        );
    }
    Ok(())
}
