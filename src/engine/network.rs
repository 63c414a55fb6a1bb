//! A whole network on a device.

use wgpu::Buffer;

use super::{LoadOptions, half};
use crate::error::Result;
use crate::gpu::{Bound, Executor, Gpu, Memory, Preprocessor, Source};
use crate::kernel::Capabilities;
use crate::network::{self, ResNet};
use crate::plan::{self, Recording, TensorId};
use crate::reference;
use crate::tensor::{HostTensor, Shape, Tolerance, memory};
use crate::weights::NetworkWeights;

/// Records a network for a device with these capabilities. Needs neither a device nor weights.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) if the input does not fit the network, a
/// [`GpuError`](crate::error::GpuError) if the device cannot run it.
pub fn record_network(
    network: &ResNet,
    input: Shape,
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<Recording> {
    let mut plan = network::plan_network(network, input, options.plan)?;
    if options.keep_blocks {
        plan.keep_blocks();
    }
    let plan = half::in_precision(plan, capabilities.f16, options)?;
    plan::schedule(plan, capabilities, &options.kernels, options.budget)
}

/// A network on a device, for images of one size: one submit with a command buffer for the stem,
/// one for each block and one for the head.
///
/// Batches of any size can be run. A batch is run in several parts if its largest tensor would not
/// fit one of the device's bindings, its workspace would exceed 1 GiB, a block would occupy an
/// integrated GPU for too long, or it is larger than the batch that the network was loaded for.
///
/// ```no_run
/// use wgpu_bottleneck::{CheckpointOptions, Gpu, LoadOptions, Network, NetworkWeights, StateDict};
///
/// let weights = NetworkWeights::open("resnet50.safetensors", &CheckpointOptions::default())?;
/// let input = StateDict::open("input.safetensors")?.nchw("input")?;
/// let mut network =
///     Network::load(&Gpu::new()?, &weights, input.shape(), &LoadOptions::default())?;
/// let logits = network.logits(&input)?;
/// println!("{}: {:?} ...", logits.shape(), &logits.data()[..4]);
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct Network {
    weights: NetworkWeights,
    options: LoadOptions,
    executor: Executor,
}

impl Network {
    /// Plans, records, compiles and uploads. `input` is the NCHW shape of later batches.
    ///
    /// # Errors
    /// As [`record_network`] and [`NetworkWeights::step_params`], and any error of the device.
    pub fn load(
        gpu: &Gpu,
        weights: &NetworkWeights,
        input: Shape,
        options: &LoadOptions,
    ) -> Result<Self> {
        let mut options = options.clone();
        half::with_fallback(&mut options, |options| Self::load_as(gpu, weights, input, options))
    }

    /// Loads with exactly these options, without falling back to f32.
    fn load_as(
        gpu: &Gpu,
        weights: &NetworkWeights,
        input: Shape,
        options: &LoadOptions,
    ) -> Result<Self> {
        gpu.load_what_compiles(|gpu| Self::load_on(gpu, weights, input, options))
    }

    fn load_on(
        gpu: &Gpu,
        weights: &NetworkWeights,
        input: Shape,
        options: &LoadOptions,
    ) -> Result<Self> {
        let input = largest_part(weights.spec(), input, gpu.capabilities(), options)?;
        let mut recording = record_network(weights.spec(), input, gpu.capabilities(), options)?;
        if options.executor.guard_bytes > 0 {
            recording.unshare_slots();
        }
        let executor =
            Executor::streamed(gpu, recording, |step| weights.step_params(step), options.executor)?;
        Ok(Self { weights: weights.clone(), options: options.clone(), executor })
    }

    /// The plan, kernels and memory layout that are run.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        self.executor.recording()
    }

    /// The NCHW shape of one run's input: images must have this height and width, and larger
    /// batches are run in parts of this size.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        let plan = &self.recording().plan;
        plan.tensor(plan.input).shape
    }

    /// The device memory that the network uses.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.executor.memory()
    }

    /// The logits, `[batch, classes, 1, 1]`; for a network without classes, the result of
    /// [`Network::embed`]. The input is NCHW, f32, already normalised, and may hold any number of
    /// images.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`](crate::error::ShapeError::Mismatch) for images of another size, and
    /// as [`Executor::run`].
    pub fn logits(&mut self, input: &HostTensor) -> Result<HostTensor> {
        Ok(last(self.tensors(input, Wanted::Output)?))
    }

    /// The embedding of each image: the mean of the last feature map, `[batch, channels, 1, 1]`.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn embed(&mut self, input: &HostTensor) -> Result<HostTensor> {
        Ok(last(self.tensors(input, Wanted::Pooled)?))
    }

    /// The feature maps for detection and segmentation heads: `layer1`, `layer2`, ... as NCHW.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn features(&mut self, input: &HostTensor) -> Result<Vec<(String, HostTensor)>> {
        self.tensors(input, Wanted::Features)
    }

    /// All outputs, in order: `stem`, `layer1`, `layer2`, ..., `pooled`, and with classes `logits`.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn run(&mut self, input: &HostTensor) -> Result<Vec<(String, HostTensor)>> {
        self.tensors(input, Wanted::Everything)
    }

    /// Binds the caller's buffers, for apps that keep images and results on the device: see
    /// [`Executor::bind`] for their layout, [`Bound`] for recording. The output is the logits.
    ///
    /// # Errors
    /// See [`Executor::bind`].
    pub fn bind(&self, input: &Buffer, output: &Buffer) -> Result<Bound> {
        self.executor.bind(input, output)
    }

    /// The executor, for self tests and benchmarks.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The executor, mutably.
    #[must_use]
    pub fn executor_mut(&mut self) -> &mut Executor {
        &mut self.executor
    }

    /// The expected result of [`Network::run`]: the tensors of the
    /// [reference](mod@crate::reference) for the same steps, on the CPU in f64. Slow, and holds all
    /// parameters in memory at once.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`](crate::error::ShapeError::Mismatch) for images of another size, and
    /// any error of [`NetworkWeights::step_params`].
    pub fn reference(
        &self,
        weights: &NetworkWeights,
        input: &HostTensor,
    ) -> Result<Vec<(String, HostTensor)>> {
        let (recording, (ids, names)) = (self.recording(), self.named(Wanted::Everything));
        let params = weights.params(&recording.plan)?;
        let run = |part: &HostTensor| Ok(reference::run_to(recording, &params, part, &ids)?);
        Ok(names.into_iter().zip(in_parts(recording, input, &ids, run)?).collect())
    }

    /// The allowed difference between [`Network::run`] and [`Network::reference`]: see
    /// [`Recording::tolerance`].
    #[must_use]
    pub fn tolerance(&self) -> Tolerance {
        self.recording().tolerance()
    }

    fn tensors(
        &mut self,
        input: &HostTensor,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(String, HostTensor)>> {
        let (_, names) = self.named(wanted);
        let found = self.run_parts(input, &names)?;
        Ok(names.into_iter().zip(found).collect())
    }

    /// The wanted tensors and their names, in the plan's order.
    pub(super) fn named(&self, wanted: Wanted<'_>) -> (Vec<TensorId>, Vec<String>) {
        let plan = &self.recording().plan;
        let all = plan.fetches.iter().copied().chain([plan.output]);
        let with_names = all.map(|id| (id, plan.tensor(id).name.clone()));
        with_names.filter(|(id, name)| wanted.includes(name, *id == plan.output)).unzip()
    }

    /// Tensors of a batch of any size, by name. Layers that overflow f16 are computed in f32 from
    /// now on, or named in an error.
    fn run_parts(&mut self, input: &HostTensor, names: &[String]) -> Result<Vec<HostTensor>> {
        loop {
            // Another plan has other ids, and may run smaller parts.
            let recording = self.recording().clone();
            let ids = self.ids(names);
            let found = in_parts(&recording, input, &ids, |part| {
                let output = self.executor.run(part)?;
                self.taken(&ids, &output)
            })?;
            if !self.overflowed(input, &found)? {
                return Ok(found);
            }
        }
    }

    /// The tensors with these names.
    fn ids(&self, names: &[String]) -> Vec<TensorId> {
        let (ids, all) = self.named(Wanted::Everything);
        let of_name = |name| all.iter().position(|other| other == name).map(|at| ids[at]);
        names.iter().filter_map(of_name).collect()
    }

    /// Whether the batch must be run again because layers that overflowed f16 are now computed in
    /// f32.
    fn overflowed(&mut self, input: &HostTensor, outputs: &[HostTensor]) -> Result<bool> {
        if !self.recording().has_half() || !outputs.iter().any(half::has_non_finite) {
            return Ok(false);
        }
        let (gpu, plan_kind) = (self.executor.gpu().clone(), self.options.plan);
        let found = half::in_images(input, outputs, |image| {
            let plan = network::plan_network(self.weights.spec(), image.shape(), plan_kind)?;
            half::too_large(&gpu, plan, |step| self.weights.step_params(step), image)
        });
        if !half::keep_in_f32(&mut self.options, found, "the network")? {
            return Ok(false);
        }
        let part = self.input_shape();
        *self = Self::load_as(&gpu, &self.weights, part, &self.options)?;
        Ok(true)
    }

    /// The steps that are computed in f32, because f16 overflowed or because the options list them.
    #[must_use]
    pub fn kept_in_f32(&self) -> &[String] {
        &self.options.keep_f32
    }

    /// Tensors of the last run, given its output.
    fn taken(&self, ids: &[TensorId], output: &HostTensor) -> Result<Vec<HostTensor>> {
        let plan_output = self.recording().plan.output;
        let tensor = |&id: &TensorId| {
            if id == plan_output { Ok(output.clone()) } else { self.executor.read(id) }
        };
        ids.iter().map(tensor).collect()
    }

    /// Tensors of images that are preprocessed on the GPU, at most as many as a batch has.
    pub(super) fn run_images(
        &mut self,
        preprocessor: &Preprocessor,
        images: &[Source<'_>],
        wanted: Wanted<'_>,
    ) -> Result<Vec<(String, HostTensor)>> {
        let (ids, names) = self.named(wanted);
        let output = self.executor.run_images(preprocessor, images)?;
        let mut taken = self.taken(&ids, &output)?;
        if self.recording().has_half() && taken.iter().any(half::has_non_finite) {
            let input = self.executor.own_input()?;
            taken = self.run_parts(&input, &names)?;
        }
        let first = |tensor: HostTensor| {
            let shape = Shape { n: images.len(), ..tensor.shape() };
            let mut data = tensor.into_data();
            data.truncate(shape.len());
            Ok(HostTensor::new(shape, data)?)
        };
        let tensors = taken.into_iter().map(first).collect::<Result<Vec<_>>>()?;
        Ok(names.into_iter().zip(tensors).collect())
    }
}

/// Which tensors of a run are returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// The logits, or the last tensor of a network without classes.
    Output,
    /// The mean of the last feature map.
    Pooled,
    /// The feature maps of the stages.
    Features,
    /// The feature map with this name: of the stem or of a stage.
    Map(&'a str),
    /// All outputs.
    Everything,
}

impl Wanted<'_> {
    fn includes(self, name: &str, is_output: bool) -> bool {
        match self {
            Self::Output => is_output,
            Self::Pooled => name == "pooled",
            Self::Features => name.starts_with("layer") && !name.contains('.'),
            Self::Map(wanted) => {
                name == wanted && (name == "stem" || Self::Features.includes(name, is_output))
            }
            Self::Everything => true,
        }
    }
}

/// The tensor of a run that returns exactly one: every network has an output and a mean.
pub(super) fn last(mut tensors: Vec<(String, HostTensor)>) -> HostTensor {
    match tensors.pop() {
        Some((_, tensor)) => tensor,
        None => unreachable!("a network's plan has both"),
    }
}

/// Tensors of a batch, run in as many parts as needed. The last part is padded with zeros.
fn in_parts(
    recording: &Recording,
    input: &HostTensor,
    ids: &[TensorId],
    mut run: impl FnMut(&HostTensor) -> Result<Vec<HostTensor>>,
) -> Result<Vec<HostTensor>> {
    let plan = &recording.plan;
    let (part, whole) = (plan.tensor(plan.input).shape, input.shape());
    input.check_shape("input", Shape { n: whole.n, ..part })?;
    let image = whole.len() / whole.n;
    let shape = |id: TensorId| Shape { n: whole.n, ..plan.tensor(id).shape };
    let values = ids.iter().map(|&id| shape(id).len() as u64).fold(0, u64::saturating_add);
    let all = values.saturating_mul(size_of::<f32>() as u64);
    memory::check("the outputs", &whole.dims(), all)?;
    let mut found: Vec<Vec<f32>> = vec![Vec::new(); ids.len()];
    for images in input.data().chunks(part.len()) {
        let mut values = images.to_vec();
        values.resize(part.len(), 0.0);
        for (tensor, found) in run(&HostTensor::new(part, values)?)?.into_iter().zip(&mut found) {
            found.extend_from_slice(
                &tensor.data()[..tensor.data().len() / part.n * (images.len() / image)],
            );
        }
    }
    Ok(ids
        .iter()
        .zip(found)
        .map(|(&id, data)| HostTensor::new(shape(id), data))
        .collect::<Result<_, _>>()?)
}

/// Maximum workspace of a batch in bytes; larger batches are run in parts.
const MOST_WORKSPACE: u64 = 1 << 30;

/// The largest part of a batch that one run of a [`Network`] takes: its largest tensor must fit one
/// binding, and all tensors together a limited workspace. On a device with a watchdog, no segment
/// of several images takes longer than a submit may ([`SUBMIT_SECONDS`](plan::SUBMIT_SECONDS)).
///
/// # Errors
/// As [`record_network`] for a single image.
pub fn largest_part(
    network: &ResNet,
    input: Shape,
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<Shape> {
    let recording = record_network(network, Shape { n: 1, ..input }, capabilities, options)?;
    let largest =
        recording.plan.tensors.iter().map(|tensor| tensor.bytes() as u64).max().unwrap_or(1);
    let workspace: u64 = recording.slots.iter().map(|slot| slot.bytes as u64).sum();
    let most =
        (capabilities.max_binding_bytes / largest.max(1)).min(MOST_WORKSPACE / workspace.max(1));
    let most = most.min(capabilities.watched_rate.map_or(u64::MAX, |rate| {
        let works = (0..recording.segments.len()).map(|segment| recording.segment_work(segment));
        (rate as f64 * plan::SUBMIT_SECONDS) as u64 / works.max().unwrap_or(0).max(1)
    }));
    Ok(Shape { n: input.n.min(usize::try_from(most).unwrap_or(usize::MAX).max(1)), ..input })
}
