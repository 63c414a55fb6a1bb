//! The public API: takes blocks and weights, and returns results or command buffers.

mod block_trainer;
mod half;
mod image_pipeline;
mod network;
mod options;
mod schedule;
mod tiling;
mod trainer;

use wgpu::Buffer;

use self::tiling::{Tiling, record_tiled};
use crate::error::{Error, GpuError, Result};
use crate::gpu::{Bound, Executor, Gpu};
use crate::kernel::Capabilities;
use crate::network::{Bottleneck, plan_chain};
use crate::op::StepParams;
use crate::plan::{self, Recording};
use crate::reference::{self, ExactBound};
use crate::tensor::{HostTensor, Shape, Tolerance};
use crate::weights::Block;

pub use block_trainer::{BlockTrainer, Gradients, TrainingStep};
pub use image_pipeline::ImagePipeline;
pub use network::{Network, largest_part, record_network};
pub use options::LoadOptions;
pub use schedule::{Decay, Schedule};
pub use trainer::{BatchMetrics, OptimizerState, Trainer};

/// Records a chain of blocks for a device with these capabilities. Needs neither a device nor
/// weights.
///
/// # Errors
/// A [`SpecError`](crate::error::SpecError) or [`ShapeError`](crate::error::ShapeError) if blocks
/// and input do not fit together, a [`GpuError`] if the device cannot run them, a
/// [`PrecisionError`](crate::error::PrecisionError) if f16 is required but not supported.
pub fn record(
    blocks: &[Bottleneck],
    input: Shape,
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<Recording> {
    let plan =
        half::in_precision(plan_chain(blocks, input, options.plan)?, capabilities.f16, options)?;
    plan::schedule(plan, capabilities, &options.kernels, options.budget)
}

/// [`record`] for an input that may be too large for the device: the recording that [`BlockChain`]
/// runs, and the number of runs.
///
/// # Errors
/// As [`record`], if no part of the input fits either.
pub fn record_micro_batches(
    blocks: &[Bottleneck],
    input: Shape,
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<(Recording, usize)> {
    let rate = capabilities.watched_rate;
    let (recording, tiling) = record_tiled(blocks, input, rate, |micro_batch| {
        record(blocks, micro_batch, capabilities, options)
    })?;
    Ok((recording, tiling.map_or(1, |tiling| tiling.runs())))
}

/// A chain of blocks on a device, for one input shape.
///
/// An input with a tensor that is too large for the device's bindings (128 MiB on some), or with a
/// step that would occupy an integrated GPU for half a second, is run in parts: images of the
/// batch, or bands of rows of an image, which overlap by the receptive field of the 3x3
/// convolutions. [`BlockChain::runs`] returns the number of parts.
///
/// ```no_run
/// use wgpu_bottleneck::{Block, BlockOptions, Gpu, LoadOptions, BlockChain, StateDict};
///
/// let weights = StateDict::open("block.safetensors")?;
/// let block = Block::from_state_dict(&weights, "", &BlockOptions::default())?;
/// let input = StateDict::open("input.safetensors")?.nchw("input")?;
/// let mut model =
///     BlockChain::load(&Gpu::new()?, &[block], input.shape(), &LoadOptions::default())?;
/// let output = model.run(&input)?;
/// println!("{}: {:?} ...", output.shape(), &output.data()[..4]);
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct BlockChain {
    blocks: Vec<Block>,
    options: LoadOptions,
    executor: Executor,
    params: Vec<StepParams>,
    /// The recording of the whole input if it is run in parts; never run itself.
    tiling: Option<Box<(Tiling, Recording)>>,
}

impl BlockChain {
    /// Plans, records, compiles and uploads. `input` is the NCHW shape of every later input.
    ///
    /// # Errors
    /// As [`record`], a [`WeightsError`](crate::error::WeightsError) if folding overflows, and any
    /// error of the device.
    pub fn load(gpu: &Gpu, blocks: &[Block], input: Shape, options: &LoadOptions) -> Result<Self> {
        let mut options = options.clone();
        half::with_fallback(&mut options, |options| Self::load_as(gpu, blocks, input, options))
    }

    /// Loads with exactly these options, without falling back to f32.
    fn load_as(gpu: &Gpu, blocks: &[Block], input: Shape, options: &LoadOptions) -> Result<Self> {
        gpu.load_what_compiles(|gpu| Self::load_on(gpu, blocks, input, options))
    }

    fn load_on(gpu: &Gpu, blocks: &[Block], input: Shape, options: &LoadOptions) -> Result<Self> {
        let specs: Vec<Bottleneck> = blocks.iter().map(|block| *block.spec()).collect();
        let capabilities = gpu.capabilities();
        let rate = capabilities.watched_rate;
        let (mut recording, tiling) = record_tiled(&specs, input, rate, |micro_batch| {
            record(&specs, micro_batch, capabilities, options)
        })?;
        // Capabilities of a device without limits on bindings and workgroups.
        let boundless =
            Capabilities { max_binding_bytes: u64::MAX, max_workgroups: u32::MAX, ..*capabilities };
        let whole = |tiling| {
            Ok::<_, Error>(Box::new((tiling, record(&specs, input, &boundless, options)?)))
        };
        let tiling = tiling.map(whole).transpose()?;
        if options.executor.guard_bytes > 0 {
            recording.unshare_slots();
        }
        let params = Block::params(blocks, &recording.plan)?;
        let executor = Executor::new(gpu, recording, &params, options.executor)?;
        Ok(Self { blocks: blocks.to_vec(), options: options.clone(), executor, params, tiling })
    }

    /// The plan, kernels and memory layout that are run; those of one part if the input is run in
    /// parts.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        self.executor.recording()
    }

    /// Number of runs of the [recording](Self::recording) per input: one, unless the input is too
    /// large for the device and runs in parts.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.tiling.as_deref().map_or(1, |(tiling, _)| tiling.runs())
    }

    fn new_output(&self) -> Result<HostTensor> {
        let output = HostTensor::try_zeros(self.output_shape());
        Ok(output.map_err(|error| error.of_tensor("output"))?)
    }

    /// Runs on host tensors (NCHW, f32): upload, one submit with a command buffer per block,
    /// download; for each part.
    ///
    /// # Errors
    /// See [`Executor::run`].
    pub fn run(&mut self, input: &HostTensor) -> Result<HostTensor> {
        let mut output = self.new_output()?;
        self.run_into(input, &mut output)?;
        Ok(output)
    }

    /// [`BlockChain::run`] for async callers.
    ///
    /// # Errors
    /// See [`Executor::run`].
    pub async fn run_async(&mut self, input: &HostTensor) -> Result<HostTensor> {
        let mut output = self.new_output()?;
        self.run_into_async(input, &mut output).await?;
        Ok(output)
    }

    /// [`BlockChain::run`] into an existing tensor: see [`Executor::run_into`].
    ///
    /// # Errors
    /// See [`Executor::run_into`].
    pub fn run_into(&mut self, input: &HostTensor, output: &mut HostTensor) -> Result<()> {
        loop {
            match self.tiling.as_deref() {
                None => self.executor.run_into(input, output)?,
                Some((tiling, _)) => {
                    for run in tiling.row_runs(input, output)? {
                        self.executor.run_rows(input, output, run)?;
                    }
                }
            }
            if !self.overflowed(input, output)? {
                return Ok(());
            }
        }
    }

    /// Whether the run must be repeated because layers that overflowed f16 are now computed in f32.
    fn overflowed(&mut self, input: &HostTensor, output: &HostTensor) -> Result<bool> {
        if !self.recording().has_half() || !half::has_non_finite(output) {
            return Ok(false);
        }
        let (gpu, plan_kind) = (self.executor.gpu().clone(), self.options.plan);
        let specs: Vec<Bottleneck> = self.blocks.iter().map(|block| *block.spec()).collect();
        let found = half::in_images(input, std::slice::from_ref(output), |image| {
            let plan = plan_chain(&specs, image.shape(), plan_kind)?;
            let mut params = Block::params(&self.blocks, &plan)?.into_iter();
            half::too_large(&gpu, plan, |_| Ok(params.next().unwrap_or(StepParams::None)), image)
        });
        if !half::keep_in_f32(&mut self.options, found, "the chain")? {
            return Ok(false);
        }
        let options = self.options.clone();
        *self = Self::load_as(&gpu, &self.blocks, input.shape(), &options)?;
        Ok(true)
    }

    /// [`BlockChain::run_into`] for async callers. After an f16 overflow, the search for the layers
    /// and the reload block.
    ///
    /// # Errors
    /// See [`Executor::run_into`].
    pub async fn run_into_async(
        &mut self,
        input: &HostTensor,
        output: &mut HostTensor,
    ) -> Result<()> {
        loop {
            match self.tiling.as_deref() {
                None => self.executor.run_into_async(input, output).await?,
                Some((tiling, _)) => {
                    for run in tiling.row_runs(input, output)? {
                        self.executor.run_rows_async(input, output, run).await?;
                    }
                }
            }
            if !self.overflowed(input, output)? {
                return Ok(());
            }
        }
    }

    /// The shape of the result of [`BlockChain::run`].
    #[must_use]
    pub fn output_shape(&self) -> Shape {
        let plan = &self.whole().plan;
        plan.tensor(plan.output).shape
    }

    /// Binds the caller's buffers: see [`Executor::bind`] for their layout, [`Bound`] for
    /// recording.
    ///
    /// # Errors
    /// See [`Executor::bind`]; [`GpuError::Buffer`] if the input is run in parts.
    pub fn bind(&self, input: &Buffer, output: &Buffer) -> Result<Bound> {
        if self.tiling.is_some() {
            let reason =
                format!("the chain's input is too large to bind; it runs in {} parts", self.runs());
            return Err(GpuError::Buffer { buffer: "input", reason }.into());
        }
        self.executor.bind(input, output)
    }

    /// The steps that are computed in f32, because f16 overflowed or because the options list them.
    #[must_use]
    pub fn kept_in_f32(&self) -> &[String] {
        &self.options.keep_f32
    }

    /// The executor, for self tests and benchmarks. Runs one part if the input is run in parts.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The executor, mutably.
    #[must_use]
    pub fn executor_mut(&mut self) -> &mut Executor {
        &mut self.executor
    }

    /// The result of the [reference](mod@crate::reference) for the same steps and parameters, on
    /// the CPU in f64.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`](crate::error::ShapeError::Mismatch) for an input of another shape.
    pub fn reference(&self, input: &HostTensor) -> Result<HostTensor> {
        Ok(reference::run(self.whole(), &self.params, input)?)
    }

    /// As [`BlockChain::reference`], with the roundings of a device that computes in half
    /// precision: see [`reference::run_rounded`].
    ///
    /// # Errors
    /// As [`BlockChain::reference`].
    pub fn reference_rounded(&self, input: &HostTensor) -> Result<HostTensor> {
        Ok(reference::run_rounded(self.whole(), &self.params, input)?)
    }

    /// As [`BlockChain::reference`], and whether f32 is exact for this input and these weights.
    ///
    /// # Errors
    /// As [`BlockChain::reference`].
    pub fn reference_with_bound(&self, input: &HostTensor) -> Result<(HostTensor, ExactBound)> {
        Ok(reference::run_with_bound(self.whole(), &self.params, input)?)
    }

    /// The recording of the whole input.
    fn whole(&self) -> &Recording {
        self.tiling.as_deref().map_or(self.recording(), |(_, whole)| whole)
    }

    /// The allowed difference between [`BlockChain::run`] and [`BlockChain::reference`]: see
    /// [`Recording::tolerance`].
    #[must_use]
    pub fn tolerance(&self) -> Tolerance {
        self.recording().tolerance()
    }
}
