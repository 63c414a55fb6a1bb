//! What the host does before and around a run: planning, folding, packing, layout changes,
//! recording and submitting. What is measured and what is not: benches/README.md.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use support::{Random, Result, block, buffers, image, network_file, resnet50};
use wgpu_bottleneck::kernel::Capabilities;
use wgpu_bottleneck::network::plan_network;
use wgpu_bottleneck::op::StepParams;
use wgpu_bottleneck::plan::{PlanKind, RecordedStep, Recording};
use wgpu_bottleneck::{
    Block, BlockChain, Bottleneck, CheckpointOptions, Gpu, HostTensor, LoadOptions, NetworkWeights,
    ResNet, Shape, record,
};

/// ResNet-50's 16 blocks for an image of 224x224, whose stem leaves 56x56.
fn network() -> Result<(Vec<Bottleneck>, Shape)> {
    Ok((resnet50()?, Shape::new(1, 64, 56, 56)?))
}

fn planning(criterion: &mut Criterion) -> Result<()> {
    let (specs, input) = network()?;
    let options = LoadOptions::default();
    criterion.bench_function("plan_and_schedule_16_blocks", |bencher| {
        bencher.iter(|| {
            record(black_box(&specs), input, &Capabilities::CORE, &options)
                .expect("a known network")
        });
    });
    Ok(())
}

fn weights(criterion: &mut Criterion) -> Result<()> {
    let (specs, input) = network()?;
    let mut random = Random(1);
    let blocks =
        specs.iter().map(|spec| block(spec, &mut random)).collect::<Result<Vec<Block>>>()?;
    let recording = record(&specs, input, &Capabilities::CORE, &LoadOptions::default())?;
    let params = Block::params(&blocks, &recording.plan)?;
    let mut group = criterion.benchmark_group("weights_of_16_blocks");
    group.sample_size(10);
    group.bench_function("fold", |bencher| {
        bencher.iter(|| Block::params(black_box(&blocks), &recording.plan).expect("folded before"));
    });
    group.bench_function("pack", |bencher| bencher.iter(|| pack(black_box(&recording), &params)));
    Ok(())
}

/// Packs the parameters of every dispatch, as loading does; returns how many values that gave.
fn pack(recording: &Recording, params: &[StepParams]) -> usize {
    let of_step = |(recorded, params): (&RecordedStep, &StepParams)| -> usize {
        let problem = recording.plan.problem(&recorded.step);
        recorded
            .dispatches
            .iter()
            .map(|dispatch| dispatch.kernel.pack(&problem, params).len())
            .sum()
    };
    recording.steps().zip(params).map(of_step).sum()
}

/// From a file to what every step of a plan needs. The file is in the system's cache, as it is when
/// a program starts again.
fn loading(criterion: &mut Criterion) -> Result<()> {
    let network = ResNet::named("resnet50")?.build()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("resnet50.safetensors");
    std::fs::write(&path, network_file(&network, &mut Random(1))?)?;
    let plan = plan_network(&network, Shape::new(1, 3, 224, 224)?, PlanKind::Fused)?;
    let options = CheckpointOptions::default();
    let mut group = criterion.benchmark_group("load_resnet50");
    group.sample_size(10);
    group.bench_function("open", |bencher| {
        bencher.iter(|| NetworkWeights::open(&path, &options).expect("just written"))
    });
    group.bench_function("open_and_fold", |bencher| {
        bencher.iter(|| {
            let weights = NetworkWeights::open(&path, &options).expect("just written");
            // One step at a time, as a network is loaded.
            plan.steps.iter().for_each(|step| {
                drop(black_box(weights.step_params(step).expect("of this network")))
            });
        });
    });
    Ok(())
}

fn layouts(criterion: &mut Criterion) -> Result<()> {
    let image = image(Shape::new(1, 256, 56, 56)?, &mut Random(1));
    let layout = wgpu_bottleneck::tensor::ChannelLayout::dense(256);
    let packed = image.to_nhwc(layout)?;
    let mut group = criterion.benchmark_group("layout_1x256x56x56");
    group.bench_function("nchw_to_nhwc", |bencher| {
        bencher.iter(|| black_box(&image).to_nhwc(layout))
    });
    group.bench_function("nhwc_to_nchw", |bencher| {
        bencher.iter(|| HostTensor::from_nhwc(image.shape(), layout, black_box(&packed)));
    });
    Ok(())
}

/// The cost of a run to the CPU: recording 16 command buffers again and handing them over. The
/// image is tiny, so that the work, which is waited for outside the measured time, takes little.
fn running(criterion: &mut Criterion) -> Result<()> {
    let gpu = Gpu::new()?;
    eprintln!("{}", gpu.describe());
    let specs = resnet50()?;
    let mut random = Random(1);
    let blocks =
        specs.iter().map(|spec| block(spec, &mut random)).collect::<Result<Vec<Block>>>()?;
    let image = image(Shape::new(1, 64, 8, 8)?, &mut random);
    let model = BlockChain::load(&gpu, &blocks, image.shape(), &LoadOptions::default())?;
    let (input, output) = buffers(&gpu, &model, &image)?;
    let bound = model.bind(&input, &output)?;
    assert_eq!(bound.record()?.len(), 16, "one command buffer per block");

    let mut group = criterion.benchmark_group("chain_of_16_blocks");
    group.sampling_mode(SamplingMode::Flat).sample_size(20).warm_up_time(Duration::from_secs(1));
    group.bench_function("bind", |bencher| bencher.iter(|| model.bind(&input, &output)));
    let record_and_submit = || -> Result<(Duration, Duration)> {
        let start = Instant::now();
        let commands = bound.record()?;
        let recorded = start.elapsed();
        gpu.queue().submit(commands);
        let submitted = start.elapsed();
        gpu.wait()?;
        Ok((recorded, submitted - recorded))
    };
    let times = |count| (0..count).map(|_| record_and_submit().expect("the chain ran before"));
    group.bench_function("record", |bencher| {
        bencher.iter_custom(|count| times(count).map(|(record, _)| record).sum())
    });
    group.bench_function("submit", |bencher| {
        bencher.iter_custom(|count| times(count).map(|(_, submit)| submit).sum())
    });
    group.bench_function("record_and_submit", |bencher| {
        bencher.iter_custom(|count| times(count).map(|(record, submit)| record + submit).sum());
    });
    Ok(())
}

fn host(criterion: &mut Criterion) {
    for bench in [planning, weights, loading, layouts, running] {
        if let Err(error) = bench(criterion) {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

criterion_group!(benches, host);
criterion_main!(benches);
