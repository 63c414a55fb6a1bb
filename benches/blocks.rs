//! Whole blocks on the device, fused and unfused: from submit to the end of the wait, input and
//! output staying there. What is measured and what is not: benches/README.md.

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use support::{Random, Result, block, buffers, download, image};
use wgpu_bottleneck::tensor::compare;
use wgpu_bottleneck::{BlockChain, Bottleneck, Gpu, LoadOptions, PlanKind, Shape};

/// A block of a published network and the size at which that network runs it.
struct Case {
    name: &'static str,
    spec: Bottleneck,
    input: [usize; 4],
}

fn cases() -> Result<Vec<Case>> {
    let case = |name, spec, input| Case { name, spec, input };
    Ok(vec![
        case("resnet50_layer1.1", Bottleneck::torchvision(256, 64).build()?, [1, 256, 56, 56]),
        case(
            "resnet50_layer2.0_downsample",
            Bottleneck::torchvision(256, 128).stride(2).downsample(true).build()?,
            [1, 256, 56, 56],
        ),
        case(
            "resnext50_32x4d_layer2.1",
            Bottleneck::torchvision(512, 128).groups(32).base_width(4).build()?,
            [1, 512, 28, 28],
        ),
        case("deeplab_layer4_rate2", Bottleneck::deeplab(2048, 512, 2).build()?, [1, 2048, 14, 14]),
    ])
}

fn run(criterion: &mut Criterion) -> Result<()> {
    let gpu = Gpu::new()?;
    eprintln!("{}", gpu.describe());
    for case in cases()? {
        let mut random = Random(1);
        let block = block(&case.spec, &mut random)?;
        let [n, c, h, w] = case.input;
        let image = image(Shape::new(n, c, h, w)?, &mut random);
        let mut group = criterion.benchmark_group(case.name);
        // Flat: every sample is as many runs, which a block of tens of milliseconds on a software
        // driver needs.
        group.sampling_mode(SamplingMode::Flat).sample_size(20);
        group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
        for (name, plan) in [("fused", PlanKind::Fused), ("unfused", PlanKind::Unfused)] {
            let options = LoadOptions { plan, ..LoadOptions::default() };
            let model =
                BlockChain::load(&gpu, std::slice::from_ref(&block), image.shape(), &options)?;
            let (input, output) = buffers(&gpu, &model, &image)?;
            let bound = model.bind(&input, &output)?;
            gpu.queue().submit(bound.record()?);
            let comparison = compare(
                &model.reference(&image)?,
                &download(&gpu, &model, &output)?,
                model.tolerance(),
            );
            if !comparison.passed() {
                return Err(format!("{} {name}: {comparison}", case.name).into());
            }
            // Elements are floating-point operations of the convolutions, the same for both plans:
            // "Gelem/s" is GFLOP/s.
            group.throughput(Throughput::Elements(model.recording().plan.conv_flops()));
            let once = || -> Result<Duration> {
                let commands = bound.record()?;
                let start = Instant::now();
                gpu.queue().submit(commands);
                gpu.wait()?;
                Ok(start.elapsed())
            };
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|count| {
                    (0..count).map(|_| once().expect("the block ran before")).sum()
                });
            });
        }
    }
    Ok(())
}

fn blocks(criterion: &mut Criterion) {
    if let Err(error) = run(criterion) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

criterion_group!(benches, blocks);
criterion_main!(benches);
