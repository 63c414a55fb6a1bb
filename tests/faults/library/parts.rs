//! A run in several submits, on a device with a watchdog.

use wgpu_bottleneck::plan::ASSUMED_RATE;
use wgpu_bottleneck::weights::{Initialization, NetworkState};
use wgpu_bottleneck::{Gpu, LoadOptions, Network, NetworkWeights, ResNet, StateDict};

use super::cases::tensor;
use super::{Failure, Outcome};

/// Images of 224 x 224, so that a ResNet-50 needs several submits of 200 ms at 400 GFLOP/s.
const IMAGES: usize = 24;

/// Runs a ResNet-50 once. Marks the run on stderr, for the log of a layer, and prints how many
/// submits are planned.
pub fn parts() -> Outcome {
    let spec = ResNet::named("resnet50")?.build()?;
    let bytes = NetworkState::initial(&spec, Initialization::default())
        .to_safetensors(&[], &Default::default())?;
    let weights = NetworkWeights::matching(StateDict::from_bytes(bytes)?, &spec, Some(""))?;
    let input = tensor([IMAGES, 3, 224, 224])?;
    let gpu = Gpu::new()?;
    let rate = gpu.capabilities().watched_rate;
    let Some(ASSUMED_RATE) = rate else {
        return Err(Failure::Error(format!("the device has no watchdog: {rate:?}")));
    };
    let mut network = Network::load(&gpu, &weights, input.shape(), &LoadOptions::default())?;
    let runs = IMAGES.div_ceil(network.input_shape().n);
    let submits = network.recording().submits(ASSUMED_RATE).len();
    eprintln!("the run begins");
    network.embed(&input)?;
    eprintln!("the run ends");
    // The mean of each image is downloaded by one more submit for each run.
    println!("{runs} runs of {submits} submits");
    Ok(())
}
