//! Devices: an app's own, a lost one, one that is not there, several users of one; and never a
//! result from a device in trouble.

mod lost;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Golden, Outcome, any_gpu, golden_dir, targets};
use wgpu_bottleneck::error::{Error, GpuError};
use wgpu_bottleneck::gpu::{
    AdapterChoice, CeilingOptions, Ceilings, LimitsChoice, TimedRun, TimestampKind, adapters,
};
use wgpu_bottleneck::kernel::all_candidates;
use wgpu_bottleneck::shader::Patch;
use wgpu_bottleneck::tensor::{ChannelLayout, Tolerance, compare};
use wgpu_bottleneck::wgpu::{self, BufferUsages};
use wgpu_bottleneck::{BlockChain, Gpu, GpuOptions, HostTensor, LoadOptions, required};

fn golden(name: &str) -> Result<Golden, Box<dyn std::error::Error>> {
    Golden::open(&golden_dir().join(format!("{name}.safetensors")))
}

fn model(gpu: &Gpu, golden: &Golden) -> Result<BlockChain, Error> {
    BlockChain::load(gpu, &[golden.block()?], golden.input.shape(), &LoadOptions::default())
}

fn matches(golden: &Golden, found: &HostTensor) -> bool {
    compare(&golden.output, found, Tolerance::relative(1e-5)).passed()
}

/// A device as an app makes it, with a handler that counts the errors that reach it.
fn app_device() -> Result<(wgpu::Device, wgpu::Queue, Arc<AtomicUsize>), Box<dyn std::error::Error>>
{
    let adapter = adapters()?
        .into_iter()
        .next()
        .ok_or("no adapter: run the tests through scripts/with-gpu")?;
    let (required_features, required_limits) = required(&adapter);
    let descriptor =
        wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let errors = Arc::new(AtomicUsize::new(0));
    let seen = errors.clone();
    device.on_uncaptured_error(Arc::new(move |_error: wgpu::Error| {
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    Ok((device, queue, errors))
}

fn buffer(device: &wgpu::Device, size: u64, usage: BufferUsages) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

/// Kernels are compiled by other threads than the one that loads.
#[test]
fn a_kernel_that_does_not_compile_is_an_error_of_loading() -> Outcome {
    let golden = golden("s2_odd_downsample")?;
    for target in targets() {
        let broken = target.gpu.with_patches(&[Patch::new(
            "shared/mac",
            "fma(m[3]",
            "no_such_function(m[3]",
        )])?;
        let error = model(&broken, &golden).err().ok_or("loaded")?;
        let Error::Gpu(GpuError::Shader { kernel, reason }) = &error else {
            return Err(error.into());
        };
        assert!(
            kernel.starts_with("conv") && reason.contains("no_such_function"),
            "{}: {error}",
            target.name
        );
        // The device is none the worse for it.
        assert!(
            matches(&golden, &model(&target.gpu, &golden)?.run(&golden.input)?),
            "{}",
            target.name
        );
    }
    Ok(())
}

/// Whatever is in the file, models load and compute the same; afterwards it is whole.
#[test]
fn pipelines_are_kept_in_a_file_where_a_device_can() -> Outcome {
    let golden = golden("s2_odd_downsample")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("not yet there").join("pipelines.bin");
    let (mut written, mut expected) = (Vec::new(), None);
    for contents in ["nothing", "what was kept", "half of it", "rubbish", "a folder"] {
        match contents {
            "half of it" => std::fs::write(&file, &written[..written.len() / 2])?,
            "rubbish" => std::fs::write(&file, "rubbish")?,
            "a folder" => {
                std::fs::remove_file(&file)?;
                std::fs::create_dir(&file)?;
            }
            _ => {}
        }
        let gpu = Gpu::new()?;
        let can = gpu.device().features().contains(wgpu::Features::PIPELINE_CACHE);
        assert_eq!(gpu.keep_pipelines(&file)?, can, "{contents}");
        assert!(!gpu.keep_pipelines(&file)?, "{contents}: a second file");
        let output = model(&gpu, &golden)?.run(&golden.input)?;
        assert!(matches(&golden, &output), "{contents}");
        assert_eq!(*expected.get_or_insert_with(|| output.clone()), output, "{contents}");
        if !can {
            assert!(!file.exists());
            return Ok(());
        }
        if contents != "a folder" {
            written = std::fs::read(&file)?;
            assert!(written.starts_with(b"bottleneck pipelines"), "{contents}");
        }
    }
    let left: Vec<_> =
        std::fs::read_dir(file.parent().ok_or("no folder")?)?.collect::<Result<_, _>>()?;
    assert_eq!(left.len(), 1, "{left:?}");
    Ok(())
}

#[test]
fn devices_without_a_cache_of_pipelines_say_so() -> Outcome {
    let gpu = Gpu::with_options(&GpuOptions { limits: LimitsChoice::Core, ..Default::default() })?;
    let folder = tempfile::tempdir()?;
    assert!(!gpu.keep_pipelines(&folder.path().join("pipelines.bin"))?);
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

#[test]
fn an_app_keeps_its_device_and_its_handler() -> Outcome {
    let (device, queue, errors) = app_device()?;
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
    let golden = golden("s2_odd_downsample")?;
    let mut model = model(&gpu, &golden)?;
    assert!(matches(&golden, &model.run(&golden.input)?));

    // Errors of our calls come back as values and do not reach the app's handler.
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
    let input = buffer(&device, model.executor().input_bytes(), usage);
    assert!(matches!(model.bind(&input, &input), Err(Error::Gpu(GpuError::SameBuffer))));
    assert_eq!(errors.load(Ordering::SeqCst), 0);

    // Errors of the app's own calls still do.
    let _bad = buffer(
        &device,
        16,
        BufferUsages::MAP_READ | BufferUsages::MAP_WRITE | BufferUsages::STORAGE,
    );
    assert_eq!(errors.load(Ordering::SeqCst), 1);
    assert!(matches(&golden, &model.run(&golden.input)?));
    Ok(())
}

#[test]
fn an_app_records_into_its_own_encoder() -> Outcome {
    let (device, queue, errors) = app_device()?;
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
    let golden = golden("groups8_5_per_group")?;
    let model = model(&gpu, &golden)?;
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    // Larger than needed, as an app's buffers may be.
    let input = buffer(&device, model.executor().input_bytes() + 4096, usage);
    let output = buffer(&device, model.executor().output_bytes() + 4096, usage);
    let packed = golden.input.to_nhwc(ChannelLayout::dense(golden.input.shape().c))?;
    let mut upload = Vec::new();
    packed.iter().for_each(|value| upload.extend(value.to_le_bytes()));
    queue.write_buffer(&input, 0, &upload);
    let bound = model.bind(&input, &output)?;
    for _ in 0..2 {
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.clear_buffer(&output, 0, None);
        bound.record_into(&mut encoder)?;
        queue.submit([encoder.finish()]);
        let bytes = gpu.download(&output)?;
        let values: Vec<f32> = bytes[..model.executor().output_bytes() as usize]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let shape = golden.output.shape();
        assert!(matches(
            &golden,
            &HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?
        ));
    }
    assert_eq!(errors.load(Ordering::SeqCst), 0);
    Ok(())
}

#[test]
fn what_is_not_there_is_an_error_that_lists_what_is() {
    for adapter in [AdapterChoice::Index(99), AdapterChoice::Named("no such adapter".to_owned())] {
        let options = GpuOptions { adapter: adapter.clone(), ..Default::default() };
        match Gpu::with_options(&options) {
            Err(Error::Gpu(GpuError::NoAdapter { wanted, present })) => {
                // Where WGPU_BACKEND is set, the message goes on with it.
                assert!(wanted.starts_with(&adapter.to_string()), "{wanted}");
                assert!(!present.is_empty());
            }
            other => panic!("{adapter}: {other:?}"),
        }
    }
}

#[test]
fn core_limits_are_enough() -> Outcome {
    let gpu = Gpu::with_options(&GpuOptions { limits: LimitsChoice::Core, ..Default::default() })?;
    assert_eq!(gpu.device().limits().max_compute_workgroup_storage_size, 16 << 10);
    assert!(gpu.device().features().is_empty());
    let golden = golden("width26_groups2")?;
    assert!(matches(&golden, &model(&gpu, &golden)?.run(&golden.input)?));
    Ok(())
}

#[test]
fn the_async_twin_gives_the_same_bits() -> Outcome {
    let gpu = pollster::block_on(Gpu::with_options_async(&GpuOptions::default()))?;
    let golden = golden("odd_13x9_batch3")?;
    let mut model = model(&gpu, &golden)?;
    let blocking = model.run(&golden.input)?;
    assert_eq!(pollster::block_on(model.run_async(&golden.input))?, blocking);
    Ok(())
}

#[test]
fn a_future_that_is_dropped_does_no_harm() -> Outcome {
    let golden = golden("plain")?;
    let mut model = model(&any_gpu(), &golden)?;
    for _ in 0..3 {
        let mut future = Box::pin(model.run_async(&golden.input));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // Polled once, whatever it says, and dropped.
        let _ = std::future::Future::poll(future.as_mut(), &mut context);
        drop(future);
        assert!(matches(&golden, &model.run(&golden.input)?));
        assert!(matches(&golden, &model.run(&golden.input)?));
    }
    Ok(())
}

/// Each golden on a thread of its own, twenty times.
fn run_side_by_side(gpu: &Gpu, goldens: &[Golden]) -> Outcome {
    std::thread::scope(|scope| {
        let start = |golden| {
            scope.spawn(move || -> Result<bool, Error> {
                let mut model = model(gpu, golden)?;
                (0..20).try_fold(true, |good, _| {
                    Ok(good && matches(golden, &model.run(&golden.input)?))
                })
            })
        };
        let threads: Vec<_> = goldens.iter().map(start).collect();
        for (thread, golden) in threads.into_iter().zip(goldens) {
            let good =
                thread.join().map_err(|_| format!("{}: the thread panicked", golden.name))??;
            assert!(good, "{}: wrong numbers", golden.name);
        }
        Ok(())
    })
}

#[test]
fn two_threads_share_a_device() -> Outcome {
    let goldens = [golden("plain")?, golden("s2_even_downsample")?];
    targets().iter().try_for_each(|target| {
        run_side_by_side(&target.gpu, &goldens)
            .map_err(|error| format!("{}: {error}", target.name).into())
    })
}

#[test]
fn models_that_share_a_device_take_turns() -> Outcome {
    let gpu = any_gpu();
    let goldens = [golden("plain")?, golden("groups8_5_per_group")?, golden("s2_even_downsample")?];
    let mut models =
        goldens.iter().map(|golden| model(&gpu, golden)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..3 {
        for (golden, model) in goldens.iter().zip(&mut models) {
            assert!(matches(golden, &model.run(&golden.input)?), "{}", golden.name);
        }
    }
    // Recorded in turns, submitted together, in the other order.
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let (mut commands, mut outputs) = (Vec::new(), Vec::new());
    for (golden, model) in goldens.iter().zip(&models) {
        let input = buffer(gpu.device(), model.executor().input_bytes(), usage);
        let output = buffer(gpu.device(), model.executor().output_bytes(), usage);
        let packed = golden.input.to_nhwc(ChannelLayout::dense(golden.input.shape().c))?;
        let bytes: Vec<u8> = packed.iter().flat_map(|value| value.to_le_bytes()).collect();
        gpu.queue().write_buffer(&input, 0, &bytes);
        commands.push(model.bind(&input, &output)?.record()?);
        outputs.push(output);
    }
    gpu.queue().submit(commands.into_iter().rev().flatten());
    for (golden, output) in goldens.iter().zip(&outputs) {
        let bytes = gpu.download(output)?;
        let values: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let shape = golden.output.shape();
        let found = HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?;
        assert!(matches(golden, &found), "{}", golden.name);
    }
    Ok(())
}

/// Errors of one thread's calls stay with that thread: scopes are per thread, and no other result
/// suffers.
fn one_thread_fails_and_one_does_not(gpu: &Gpu) -> Outcome {
    let golden = golden("plain")?;
    let (mut good, bad) = (model(gpu, &golden)?, model(gpu, &golden)?);
    let (bytes_in, bytes_out) = (bad.executor().input_bytes(), bad.executor().output_bytes());
    std::thread::scope(|scope| {
        let failing = scope.spawn(move || {
            let input = buffer(gpu.device(), bytes_in, BufferUsages::STORAGE);
            let output = buffer(gpu.device(), bytes_out, BufferUsages::STORAGE);
            // wgpu refuses destroyed buffers within our error scopes.
            output.destroy();
            (0..30)
                .filter(|_| {
                    matches!(bad.bind(&input, &output), Err(Error::Gpu(GpuError::Device { .. })))
                })
                .count()
        });
        for _ in 0..30 {
            assert!(matches(&golden, &good.run(&golden.input)?));
        }
        assert_eq!(failing.join().map_err(|_| "the failing thread panicked")?, 30);
        Ok(())
    })
}

#[test]
fn errors_stay_with_the_thread_that_made_them() -> Outcome {
    one_thread_fails_and_one_does_not(&any_gpu())
}

#[test]
fn errors_of_our_calls_never_reach_the_app() -> Outcome {
    let (device, queue, errors) = app_device()?;
    one_thread_fails_and_one_does_not(&Gpu::from_wgpu(device, queue))?;
    assert_eq!(errors.load(Ordering::SeqCst), 0);
    Ok(())
}

/// Where a device has timestamps, each dispatch gets a time, all of them fit into the run, and the
/// numbers stay right.
fn times_dispatches(name: &str, gpu: &Gpu) -> Outcome {
    let golden = golden("s2_odd_downsample")?;
    let model = model(gpu, &golden)?;
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let input = buffer(gpu.device(), model.executor().input_bytes(), usage);
    let output = buffer(gpu.device(), model.executor().output_bytes(), usage);
    let packed = golden.input.to_nhwc(ChannelLayout::dense(golden.input.shape().c))?;
    gpu.queue().write_buffer(&input, 0, bytemuck::cast_slice(&packed));
    let bound = model.bind(&input, &output)?;
    let timer = bound.timer()?;
    assert_eq!(timer.as_ref().map(|timer| timer.kind()), gpu.timestamps());
    let Some(timer) = timer else {
        crate::common::loudly(&format!("SKIPPED on {name}: it has no timestamps"));
        return Ok(());
    };
    for _ in 0..3 {
        let start = Instant::now();
        let TimedRun { recording, submit, wait, dispatches } = timer.run()?;
        let wall = start.elapsed();
        assert_eq!(recording.len(), model.recording().segments.len());
        let on_cpu: Vec<Range<Duration>> = recording.into_iter().chain([submit, wait]).collect();
        let ordered = |spans: &[Range<Duration>]| {
            spans.iter().flat_map(|span| [span.start, span.end]).is_sorted()
        };
        assert!(
            ordered(&on_cpu) && on_cpu.iter().all(|span| span.end <= wall),
            "{name}: {on_cpu:?} of {wall:?}"
        );
        let Some(times) = dispatches else {
            crate::common::loudly(&format!("SKIPPED on {name}: its timestamps are no times"));
            break;
        };
        assert_eq!(times.len(), model.recording().dispatch_count());
        let sum: Duration = times.iter().map(|span| span.end - span.start).sum();
        assert!(ordered(&times) && !sum.is_zero() && sum <= wall, "{name}: {times:?} of {wall:?}");
    }
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&gpu.download(&output)?);
    let shape = golden.output.shape();
    assert!(
        matches(&golden, &HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?),
        "{name}"
    );
    Ok(())
}

#[test]
fn dispatches_are_timed_where_the_device_can() -> Outcome {
    targets().iter().try_for_each(|target| times_dispatches(target.name, &target.gpu))
}

/// As browsers are, and GPUs that render in tiles.
#[test]
fn dispatches_are_timed_without_timestamps_inside_passes() -> Outcome {
    let adapter = adapters()?
        .into_iter()
        .next()
        .ok_or("no adapter: run the tests through scripts/with-gpu")?;
    let (features, required_limits) = required(&adapter);
    let required_features = features - wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let descriptor =
        wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let gpu = Gpu::from_wgpu(device, queue);
    assert_ne!(gpu.timestamps(), Some(TimestampKind::InsidePasses));
    times_dispatches("a device that times passes", &gpu)
}

/// Numbers that a device can have: none is zero, and no more than a supercomputer's.
#[test]
fn ceilings_are_measured_on_every_device() -> Outcome {
    for target in targets() {
        let ceilings = Ceilings::measure(&target.gpu, &CeilingOptions::quick())?;
        let Ceilings { fma_gflops, fma_f16_gflops, matrix_gflops, copy_gbps, .. } = ceilings;
        let Ceilings { empty_dispatch_us, barrier_us, barrier_noise_us, .. } = ceilings;
        let has_f16 = target.gpu.device().features().contains(wgpu::Features::SHADER_F16);
        assert_eq!(fma_f16_gflops.is_some(), has_f16, "{}", target.name);
        assert!(
            fma_f16_gflops.is_none_or(|gflops| (0.01..1e7).contains(&gflops)),
            "{}: {ceilings:?}",
            target.name
        );
        let capabilities = target.gpu.capabilities();
        let has_matrices = all_candidates()
            .iter()
            .any(|kernel| kernel.matrix_side > 0 && kernel.runs_on(capabilities).is_ok());
        assert_eq!(matrix_gflops.is_some(), has_matrices, "{}", target.name);
        assert!(
            matrix_gflops.is_none_or(|gflops| (0.01..1e7).contains(&gflops)),
            "{}: {ceilings:?}",
            target.name
        );
        println!("{}: {ceilings:?}", target.name);
        let possible = (0.01..1e6).contains(&fma_gflops) && (0.01..1e5).contains(&copy_gbps);
        let costs = empty_dispatch_us > 0.0
            && empty_dispatch_us < 1e5
            && (0.0..1e5).contains(&barrier_noise_us);
        let is_above_noise = barrier_us.is_none_or(|us| us > barrier_noise_us && us < 1e5);
        assert!(possible && costs && is_above_noise, "{}: {ceilings:?}", target.name);
    }
    Ok(())
}
