//! A whole network on a device.

use super::LoadOptions;
use crate::error::Result;
use crate::gpu::{Executor, Gpu};
use crate::kernel::Capabilities;
use crate::network::{self, ResNet};
use crate::op::StepParams;
use crate::plan::{self, Recording};
use crate::reference;
use crate::tensor::{Element, HostTensor, Shape, Tolerance};
use crate::weights::NetworkWeights;

/// Records a network for a device with these capabilities, without a device and without weights: what would be run.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) when the input does not fit the network, a
/// [`GpuError`](crate::error::GpuError) when the device could not run it.
pub fn record_network(
    network: &ResNet,
    input: Shape,
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<Recording> {
    plan::schedule(network::plan_network(network, input, options.plan)?, capabilities, &options.kernels)
}

/// A network on a device, for one input shape: one command buffer for the stem, one for each block, one for the head.
///
/// ```no_run
/// use wgpu_bottleneck::{Gpu, LoadOptions, Network, NetworkWeights, ResNet, StateDict};
///
/// let weights = StateDict::open("resnet50.safetensors")?;
/// let weights = NetworkWeights::from_state_dict(&weights, &ResNet::named("resnet50")?.build()?)?;
/// let input = StateDict::open("input.safetensors")?.image("input")?;
/// let mut network = Network::load(&Gpu::new()?, &weights, input.shape(), &LoadOptions::default())?;
/// let logits = network.run(&input)?;
/// println!("{}: {:?} ...", logits.shape(), &logits.data()[..4]);
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct Network {
    executor: Executor,
    params: Vec<StepParams>,
}

impl Network {
    /// Plans, records, compiles and uploads. `input` is the NCHW shape of every later input.
    ///
    /// # Errors
    /// As [`record_network`], a [`WeightsError`](crate::error::WeightsError) when folding overflows, and what the device says.
    pub fn load(gpu: &Gpu, weights: &NetworkWeights, input: Shape, options: &LoadOptions) -> Result<Self> {
        let mut recording = record_network(weights.spec(), input, gpu.capabilities(), options)?;
        if options.executor.guard_bytes > 0 {
            recording.unshare_slots();
        }
        let params = weights.params(&recording.plan)?;
        let executor = Executor::new(gpu, recording, &params, options.executor)?;
        Ok(Self { executor, params })
    }

    /// What is run: the plan, its kernels, its memory.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        self.executor.recording()
    }

    /// The logits, `[batch, classes, 1, 1]`; of a network without classes the mean of the last map. The input is NCHW, f32,
    /// already normalised.
    ///
    /// # Errors
    /// See [`Executor::run`].
    pub fn run(&mut self, input: &HostTensor) -> Result<HostTensor> {
        self.executor.run(input)
    }

    /// What the last [`Network::run`] left on the way: `stem`, `layer1`, `layer2`, ... (what detection and segmentation heads
    /// read) and, before the classes, `pooled` (what an embedding is).
    ///
    /// # Errors
    /// See [`Executor::kept`].
    pub fn features(&self) -> Result<Vec<(String, HostTensor)>> {
        let plan = &self.recording().plan;
        plan.kept.iter().map(|&id| Ok((plan.tensor(id).name.clone(), self.executor.kept(id)?))).collect()
    }

    /// The GPU side, for self tests and benchmarks.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// What the [reference](mod@crate::reference) says for the same steps and parameters, on the CPU in f64.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`](crate::error::ShapeError::Mismatch) for an input of another shape.
    pub fn reference(&self, input: &HostTensor) -> Result<HostTensor> {
        Ok(reference::run(self.recording(), &self.params, input)?)
    }

    /// How far [`Network::run`] may be from [`Network::reference`]: by the element type and the longest sum of the plan.
    #[must_use]
    pub fn tolerance(&self) -> Tolerance {
        Tolerance::for_sum(Element::F32, self.recording().plan.longest_reduction())
    }
}
