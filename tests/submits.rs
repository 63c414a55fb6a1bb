//! Watchdogs: what an integrated GPU of 400 GFLOP/s gets in one submit and in one dispatch.

use std::task::{Context, Waker};

use crate::common::seeded_network::weights;
use crate::common::{Golden, Outcome, goldens};
use wgpu_bottleneck::engine::largest_part;
use wgpu_bottleneck::kernel::{Capabilities, DeviceKind};
use wgpu_bottleneck::network::{TrainingOptions, plan_network_training};
use wgpu_bottleneck::plan::{
    ASSUMED_RATE, KernelChoice, MemoryBudget, Recording, SUBMIT_SECONDS, schedule,
};
use wgpu_bottleneck::tensor::compare;
use wgpu_bottleneck::wgpu::{BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{
    BlockChain, BlockKind, Gpu, HostTensor, LoadOptions, Network, ResNet, Shape, record_network,
};

/// The longest time of a dispatch in seconds.
const DISPATCH_SECONDS: f64 = 0.5;

/// An integrated GPU that can bind 1 GiB.
const INTEGRATED: Capabilities = Capabilities {
    kind: DeviceKind::Integrated,
    max_binding_bytes: 1 << 30,
    watched_rate: Some(ASSUMED_RATE),
    ..Capabilities::CORE
};

/// Prints a row of the table, and checks the limits.
fn check(name: &str, images: usize, runs: usize, recording: &Recording) -> Outcome {
    let seconds = |work: u64| work as f64 / ASSUMED_RATE as f64;
    let works: Vec<f64> =
        (0..recording.segments.len()).map(|at| seconds(recording.segment_work(at))).collect();
    let submits = recording.submits(ASSUMED_RATE);
    let covered: Vec<usize> = submits.iter().cloned().flatten().collect();
    assert_eq!(
        covered,
        (0..works.len()).collect::<Vec<_>>(),
        "{name}: each segment once, in order"
    );
    let longest = |times: Vec<f64>| times.into_iter().fold(0.0, f64::max);
    let submit = longest(submits.iter().map(|group| works[group.clone()].iter().sum()).collect());
    let dispatch =
        longest(recording.steps().map(|step| seconds(recording.step_work(step))).collect());
    println!(
        "| {name} | {images} x {runs} | {:.0} ms | {} | {:.0} ms | {:.0} ms |",
        1e3 * works.iter().sum::<f64>(),
        submits.len(),
        1e3 * submit,
        1e3 * dispatch
    );
    assert!(submit <= SUBMIT_SECONDS, "{name}: a submit of {submit} s");
    assert!(dispatch <= DISPATCH_SECONDS, "{name}: a dispatch of {dispatch} s");
    Ok(())
}

fn network(name: &str, spec: &ResNet, batch: Shape) -> Outcome {
    let options = LoadOptions::default();
    let part = largest_part(spec, batch, &INTEGRATED, &options)?;
    let recording = record_network(spec, part, &INTEGRATED, &options)?;
    check(name, part.n, batch.n.div_ceil(part.n), &recording)
}

#[test]
fn no_submit_is_long_on_an_integrated_gpu() -> Outcome {
    println!("| work | images x runs | run | submits | longest submit | longest dispatch |");
    let resnet50 = ResNet::named("resnet50")?.build()?;
    network("ResNet-50, batch 64", &resnet50, Shape::new(64, 3, 224, 224)?)?;
    let dilated = ResNet::named("resnet101")?.replace_stride_with_dilation([false, true, true]);
    let deeplab = dilated.classes(None).build()?;
    network(
        "ResNet-101, output stride 8, batch 8 of 513 x 513",
        &deeplab,
        Shape::new(8, 3, 513, 513)?,
    )?;
    let options = TrainingOptions { bn_momentum: Some(0.1), ..TrainingOptions::default() };
    let plan = plan_network_training(&resnet50, Shape::new(32, 3, 224, 224)?, &options)?.plan;
    let recording = schedule(plan, &INTEGRATED, &KernelChoice::Ranked, MemoryBudget::default())?;
    check("training of ResNet-50, batch 32", 32, 1, &recording)
}

/// Without a watchdog nothing is cut.
#[test]
fn other_devices_run_whole_batches() -> Outcome {
    let spec = ResNet::named("resnet50")?.build()?;
    let batch = Shape::new(64, 3, 224, 224)?;
    let capabilities = Capabilities { watched_rate: None, ..INTEGRATED };
    let part = largest_part(&spec, batch, &capabilities, &LoadOptions::default())?;
    assert_eq!(part, batch);
    Ok(())
}

/// A run in many submits has the bits of a run in one, at any rate.
#[test]
fn parts_have_the_same_bits() -> Outcome {
    let gpu = Gpu::new()?;
    let spec = ResNet::builder(BlockKind::Bottleneck).depths([2, 2]).planes([4, 8]).stem_planes(4);
    let spec = spec.classes(Some(5)).build()?;
    let (weights, _) = weights(&spec)?;
    let input = HostTensor::from_fn(Shape::new(3, 3, 40, 36)?, |at| (at % 17) as f32 / 8.0 - 1.0);
    let run = |gpu: &Gpu| -> Result<_, wgpu_bottleneck::Error> {
        let mut network = Network::load(gpu, &weights, input.shape(), &LoadOptions::default())?;
        let first = network.run(&input)?;
        assert_eq!(first, network.run(&input)?);
        Ok((network.recording().submits(u64::MAX).len(), first))
    };
    let (one, whole) = run(&gpu)?;
    assert_eq!(one, 1);
    for rate in [1, 10_000_000, 1_000_000_000] {
        let capabilities = Capabilities { watched_rate: Some(rate), ..*gpu.capabilities() };
        // SAFETY: the driver's capabilities are the same; only submits are shorter.
        let watched = unsafe { gpu.with_capabilities(capabilities) };
        assert_eq!(run(&watched)?.1, whole, "{rate} FLOP/s");
    }
    Ok(())
}

/// A chain whose steps would take too long runs in images, then in bands of rows.
#[test]
fn long_steps_of_chains_are_split() -> Outcome {
    let gpu = Gpu::new()?;
    let named = |golden: &Golden| golden.name == "odd_13x9_batch3";
    let golden = goldens()?.into_iter().find(named).ok_or("no such golden")?;
    let block = golden.block()?;
    let load = |gpu: &Gpu| {
        let blocks = std::slice::from_ref(&block);
        BlockChain::load(gpu, blocks, golden.input.shape(), &LoadOptions::default())
    };
    let work = {
        let whole = load(&gpu)?;
        assert_eq!(whole.runs(), 1);
        let recording = whole.recording();
        recording.steps().map(|step| recording.step_work(step)).max().unwrap_or_default()
    };
    let (batch, mut runs) = (golden.input.shape().n, Vec::new());
    // Half a second for the longest step, for half of it, and for less than an image.
    for part in [1, 2, 8] {
        let rate = (2 * work).div_ceil(part);
        let capabilities = Capabilities { watched_rate: Some(rate), ..*gpu.capabilities() };
        // SAFETY: the driver's capabilities are the same; only parts are smaller.
        let watched = unsafe { gpu.with_capabilities(capabilities) };
        let mut chain = load(&watched)?;
        let comparison = compare(&golden.output, &chain.run(&golden.input)?, chain.tolerance());
        assert!(comparison.passed(), "{part}: {comparison}");
        runs.push(chain.runs());
    }
    assert_eq!(runs[..2], [1, batch]);
    assert!(runs[2] > batch, "{runs:?}");
    Ok(())
}

/// Recordings that an app submits later, more than fit in one buffer of numbers, are verified; one
/// that is not submitted counts as a loss.
#[test]
fn recordings_are_verified_however_many() -> Outcome {
    let gpu = Gpu::new()?;
    let golden = goldens()?.into_iter().find(|golden| golden.name == "plain").ok_or("plain")?;
    let blocks = [golden.block()?];
    let chain = BlockChain::load(&gpu, &blocks, golden.input.shape(), &LoadOptions::default())?;
    let buffer = |size| {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        gpu.device().create_buffer(&descriptor)
    };
    let input = buffer(chain.executor().input_bytes());
    let bound = chain.bind(&input, &buffer(chain.executor().output_bytes()))?;
    for count in [1, 16, 17, 40] {
        let recorded: Vec<_> = (0..count).map(|_| bound.record()).collect::<Result<_, _>>()?;
        recorded.into_iter().for_each(|commands| _ = gpu.queue().submit(commands));
        bound.verify()?;
        pollster::block_on(bound.verify_async())?;
    }
    // Words of six recordings keep their numbers while all later ones use the first word: a number
    // must not come again.
    for count in [6].into_iter().chain([1; 250]) {
        let recorded: Vec<_> = (0..count).map(|_| bound.record()).collect::<Result<_, _>>()?;
        recorded.into_iter().for_each(|commands| _ = gpu.queue().submit(commands));
        bound.verify()?;
    }
    let recorded: Vec<_> = (0..20).map(|_| bound.record()).collect::<Result<_, _>>()?;
    recorded.into_iter().take(19).for_each(|commands| _ = gpu.queue().submit(commands));
    let error = bound.verify().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("1 of 20 recordings were not submitted"), "{error}");
    assert!(bound.record().is_err() && gpu.wait().is_err(), "after the loss");
    Ok(())
}

/// A cancelled run does not disturb the next one.
#[test]
fn a_run_after_a_cancelled_one_is_right() -> Outcome {
    let gpu = Gpu::new()?;
    let golden = goldens()?.into_iter().find(|golden| golden.name == "plain").ok_or("plain")?;
    let blocks = [golden.block()?];
    let mut chain = BlockChain::load(&gpu, &blocks, golden.input.shape(), &LoadOptions::default())?;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..200 {
        let mut cancelled = Box::pin(chain.run_async(&golden.input));
        let _ = cancelled.as_mut().poll(&mut context);
        drop(cancelled);
        let output = pollster::block_on(chain.run_async(&golden.input))?;
        assert!(compare(&golden.output, &output, chain.tolerance()).passed());
    }
    Ok(())
}
