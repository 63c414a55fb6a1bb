//! Devices that their app destroys: every call returns `GpuError::Lost`, whichever call is the
//! first, and none returns stale numbers, waits for ever or panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wgpu_bottleneck::error::{Error, GpuError};
use wgpu_bottleneck::gpu::{AdapterChoice, CeilingOptions, Ceilings, adapters};
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::wgpu::{self, BufferUsages};
use wgpu_bottleneck::{
    BlockChain, BlockState, BlockTrainer, Gpu, GpuOptions, Image, ImagePipeline, LoadOptions,
    Network, Preprocess, Preprocessor, ResNet, TrainingOptions, required,
};

use super::{app_device, buffer, golden, matches, model};
use crate::common::seeded_network::weights;
use crate::common::{Golden, Outcome, any_gpu, golden_dir, loudly};

/// Who made a device, and what happens to it after it is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    OursOnOpenGl,
    /// The app polls the device, and wgpu releases everything that was made with it.
    OursPolled,
    Apps,
    /// An error that reaches the device's handler panics.
    AppsPolledWithoutHandler,
}

const KINDS: [Kind; 5] =
    [Kind::Ours, Kind::OursOnOpenGl, Kind::OursPolled, Kind::Apps, Kind::AppsPolledWithoutHandler];

/// A device, and the errors that reach its app.
struct Device {
    gpu: Gpu,
    errors: Arc<AtomicUsize>,
}

impl Kind {
    /// A new device; none where there is no OpenGL.
    fn device(self) -> Result<Option<Device>, Box<dyn std::error::Error>> {
        let errors = Arc::default();
        let gpu = match self {
            Self::Ours | Self::OursPolled => any_gpu(),
            Self::OursOnOpenGl => {
                let adapter = AdapterChoice::Named("(gl,".to_owned());
                match Gpu::with_options(&GpuOptions { adapter, ..GpuOptions::default() }) {
                    Err(Error::Gpu(GpuError::NoAdapter { .. })) => return Ok(None),
                    gpu => gpu?,
                }
            }
            Self::Apps => {
                let (device, queue, errors) = app_device()?;
                return Ok(Some(Device { gpu: Gpu::from_wgpu(device, queue), errors }));
            }
            Self::AppsPolledWithoutHandler => {
                let adapter = adapters()?.into_iter().next().ok_or("no adapter")?;
                let (required_features, required_limits) = required(&adapter);
                let descriptor = wgpu::DeviceDescriptor {
                    required_features,
                    required_limits,
                    ..Default::default()
                };
                let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
                Gpu::from_wgpu(device, queue)
            }
        };
        Ok(Some(Device { gpu, errors }))
    }

    /// Destroys a device.
    fn destroy(self, device: &wgpu::Device) -> Outcome {
        device.destroy();
        if matches!(self, Self::OursPolled | Self::AppsPolledWithoutHandler) {
            device.poll(wgpu::PollType::wait_indefinitely())?;
        }
        Ok(())
    }
}

/// What is called after the loss.
type Call = Box<dyn FnMut() -> Result<(), Error>>;

/// Makes a call ready, on a device that works.
type Prepare = fn(&Gpu) -> Result<Call, Box<dyn std::error::Error>>;

fn call<T>(
    mut call: impl FnMut() -> Result<T, Error> + 'static,
) -> Result<Call, Box<dyn std::error::Error>> {
    Ok(Box::new(move || call().map(drop)))
}

/// A model that has run once.
fn used(gpu: &Gpu, golden: &Golden) -> Result<BlockChain, Box<dyn std::error::Error>> {
    let mut model = model(gpu, golden)?;
    assert!(matches(golden, &model.run(&golden.input)?));
    Ok(model)
}

fn plain() -> Result<Golden, Box<dyn std::error::Error>> {
    golden("plain")
}

/// A model with buffers of an app.
fn with_buffers(gpu: &Gpu) -> Result<(BlockChain, [wgpu::Buffer; 2]), Box<dyn std::error::Error>> {
    let model = model(gpu, &plain()?)?;
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let [input, output] = [model.executor().input_bytes(), model.executor().output_bytes()];
    Ok((model, [input, output].map(|bytes| buffer(gpu.device(), bytes, usage))))
}

fn preprocess() -> Preprocess {
    Preprocess { crop: [28, 27], ..Preprocess::imagenet_v1() }
}

fn image() -> Result<Image, Box<dyn std::error::Error>> {
    Ok(Image::from_fn(40, 30, |x, y| [(3 * x) as u8, (5 * y) as u8, (x ^ y) as u8])?)
}

/// Every call that needs the device.
const CALLS: [(&str, Prepare); 21] = [
    ("BlockChain::load", |gpu| {
        let (gpu, golden) = (gpu.clone(), plain()?);
        call(move || model(&gpu, &golden))
    }),
    ("the first BlockChain::run", |gpu| {
        let (golden, mut model) = (plain()?, model(gpu, &plain()?)?);
        call(move || model.run(&golden.input))
    }),
    ("BlockChain::run", |gpu| {
        let (golden, mut model) = (plain()?, used(gpu, &plain()?)?);
        call(move || model.run(&golden.input))
    }),
    ("BlockChain::run_into", |gpu| {
        let (golden, mut model) = (plain()?, used(gpu, &plain()?)?);
        let mut output = golden.output.clone();
        call(move || model.run_into(&golden.input, &mut output))
    }),
    ("BlockChain::run_async", |gpu| {
        let (golden, mut model) = (plain()?, used(gpu, &plain()?)?);
        call(move || pollster::block_on(model.run_async(&golden.input)))
    }),
    ("BlockChain::bind", |gpu| {
        let (model, [input, output]) = with_buffers(gpu)?;
        call(move || model.bind(&input, &output))
    }),
    ("Bound::record", |gpu| {
        let (model, [input, output]) = with_buffers(gpu)?;
        let bound = model.bind(&input, &output)?;
        call(move || bound.record())
    }),
    ("Bound::record_into", |gpu| {
        let (model, [input, output]) = with_buffers(gpu)?;
        let bound = model.bind(&input, &output)?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        call(move || bound.record_into(&mut encoder))
    }),
    ("Bound::timer", |gpu| {
        let (model, [input, output]) = with_buffers(gpu)?;
        let (gpu, bound) = (gpu.clone(), model.bind(&input, &output)?);
        // A device without timestamps answers without being asked.
        call(move || if gpu.timestamps().is_some() { bound.timer().map(drop) } else { gpu.wait() })
    }),
    ("Gpu::wait after a submit", |gpu| {
        let (model, [input, output]) = with_buffers(gpu)?;
        let mut commands = model.bind(&input, &output)?.record()?;
        let gpu = gpu.clone();
        call(move || {
            // wgpu drops these.
            gpu.queue().submit(commands.drain(..));
            gpu.wait()
        })
    }),
    ("Gpu::download", |gpu| {
        let (gpu, (_, [_, output])) = (gpu.clone(), with_buffers(gpu)?);
        call(move || gpu.download(&output))
    }),
    ("Gpu::download_async", |gpu| {
        let (gpu, (_, [_, output])) = (gpu.clone(), with_buffers(gpu)?);
        call(move || pollster::block_on(gpu.download_async(&output)))
    }),
    ("Executor::poison", |gpu| {
        let mut model = used(gpu, &plain()?)?;
        call(move || model.executor_mut().poison())
    }),
    ("Network::logits", |gpu| {
        let (weights, _) = weights(&network()?)?;
        let input = preprocess().tensor(&[image()?])?;
        let mut network = Network::load(gpu, &weights, input.shape(), &LoadOptions::default())?;
        network.logits(&input)?;
        call(move || network.logits(&input))
    }),
    ("Network::features", |gpu| {
        let (weights, _) = weights(&network()?)?;
        let input = preprocess().tensor(&[image()?])?;
        let mut network = Network::load(gpu, &weights, input.shape(), &LoadOptions::default())?;
        call(move || network.features(&input))
    }),
    ("ImagePipeline::embed", |gpu| {
        let ((weights, _), image) = (weights(&network()?)?, image()?);
        let mut pipeline =
            ImagePipeline::load(gpu, &weights, &preprocess(), 2, &LoadOptions::default())?;
        pipeline.embed(&[(&image).into()])?;
        call(move || pipeline.embed(&[(&image).into()]))
    }),
    ("Preprocessor::new", |gpu| {
        let gpu = gpu.clone();
        call(move || Preprocessor::new(&gpu, &preprocess()))
    }),
    ("Preprocessor::fill", |gpu| {
        let (preprocessor, image) = (Preprocessor::new(gpu, &preprocess())?, image()?);
        let input = preprocessor.input(1)?;
        preprocessor.fill(&[(&image).into()], &input)?;
        call(move || preprocessor.fill(&[(&image).into()], &input))
    }),
    ("Preprocessor::run", |gpu| {
        let (preprocessor, image) = (Preprocessor::new(gpu, &preprocess())?, image()?);
        preprocessor.run(&[(&image).into()])?;
        call(move || preprocessor.run(&[(&image).into()]))
    }),
    ("BlockTrainer::step", |gpu| {
        let golden = Golden::open(&golden_dir().join("training/inplanes6_downsample.safetensors"))?;
        let (block, grad_out) = (
            BlockState::from_state_dict(&golden.dict, "block", &golden.options)?,
            golden.dict.nchw("grad_out")?,
        );
        let (training, loading) = (TrainingOptions::default(), LoadOptions::default());
        let mut block = BlockTrainer::load(gpu, block, golden.input.shape(), &training, &loading)?;
        block.step(&golden.input, &grad_out)?;
        call(move || block.step(&golden.input, &grad_out))
    }),
    ("Ceilings::measure", |gpu| {
        let gpu = gpu.clone();
        call(move || Ceilings::measure(&gpu, &CeilingOptions::quick()))
    }),
];

fn network() -> Result<ResNet, Error> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5);
    Ok(builder.classes(Some(3)).build()?)
}

#[test]
fn whatever_is_called_first_reports_the_loss() -> Outcome {
    for kind in KINDS {
        for (name, prepare) in CALLS {
            let Some(Device { gpu, errors }) = kind.device()? else {
                loudly("SKIPPED: lost devices of OpenGL: there is no OpenGL");
                break;
            };
            let mut call = prepare(&gpu)?;
            kind.destroy(gpu.device())?;
            let begun = Instant::now();
            for attempt in ["first", "second"] {
                let error =
                    call().err().ok_or_else(|| format!("{kind:?}, {name}, {attempt}: no error"))?;
                assert!(
                    matches!(error, Error::Gpu(GpuError::Lost { .. })),
                    "{kind:?}, {name}, {attempt}: {error:?}"
                );
                assert!(error.to_string().contains("destroy"), "{kind:?}, {name}: {error}");
            }
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{kind:?}, {name}: {:?}",
                begun.elapsed()
            );
            // Everything that the call holds is released, on a device that is lost.
            drop(call);
            assert_eq!(
                errors.load(Ordering::SeqCst),
                0,
                "{kind:?}, {name}: errors reached the app"
            );
        }
    }
    Ok(())
}

/// Runs that end before the loss have the right numbers; all others are errors.
#[test]
fn a_device_may_be_destroyed_during_a_run() -> Outcome {
    let golden = golden("odd_13x9_batch3")?;
    for kind in [Kind::Ours, Kind::Apps] {
        let Device { gpu, errors } = kind.device()?.ok_or("no device")?;
        let mut model = model(&gpu, &golden)?;
        let runs = AtomicUsize::new(0);
        std::thread::scope(|scope| -> Outcome {
            let running = scope.spawn(|| {
                loop {
                    match model.run(&golden.input) {
                        Ok(output) if matches(&golden, &output) => {
                            runs.fetch_add(1, Ordering::SeqCst)
                        }
                        Ok(_) => return None,
                        Err(error) => return Some(error),
                    };
                }
            });
            while runs.load(Ordering::SeqCst) < 5 && !running.is_finished() {
                std::thread::yield_now();
            }
            gpu.device().destroy();
            let error = running.join().map_err(|_| "the thread panicked")?;
            assert!(
                matches!(error, Some(Error::Gpu(GpuError::Lost { .. }))),
                "{kind:?}: {error:?}"
            );
            Ok(())
        })?;
        assert!(runs.load(Ordering::SeqCst) >= 5);
        assert_eq!(errors.load(Ordering::SeqCst), 0, "{kind:?}: errors reached the app");
    }
    Ok(())
}

/// Two `Gpu`s of one device: each finds out by itself.
#[test]
fn a_device_that_is_lost_already_is_reported_too() -> Outcome {
    let (device, queue, errors) = app_device()?;
    device.destroy();
    for _ in 0..2 {
        let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
        let error = model(&gpu, &plain()?).err().ok_or("it loaded")?;
        assert!(matches!(error, Error::Gpu(GpuError::Lost { .. })), "{error:?}");
        assert!(matches!(gpu.wait(), Err(Error::Gpu(GpuError::Lost { .. }))));
    }
    assert_eq!(errors.load(Ordering::SeqCst), 0);
    Ok(())
}
