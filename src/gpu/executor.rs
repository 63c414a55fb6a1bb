//! Executing recordings: buffers and bind groups once, command buffers for every run.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferUsages,
    CommandBuffer, CommandEncoder, ComputePass, Queue,
};

use super::Gpu;
use super::memory::Memory;
use super::pipeline::Pipeline;
use super::readback::Readback;
use super::upload::{Uploader, Weights, upload};
use crate::error::{GpuError, Result, ShapeError};
use crate::kernel::{Binding, Kernel};
use crate::op::StepParams;
use crate::plan::{Dispatch, Placement, RecordedStep, Recording, Scratch, Step, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, HostTensor, Lines};

/// How an executor lays out its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExecutorOptions {
    /// Bytes behind each tensor, inside its binding, that no kernel may touch: for self tests. A multiple of 4. Where it is
    /// not zero, [`Model`](crate::Model) gives every tensor a slot of its own.
    pub guard_bytes: u64,
}

/// A recording on a device: compiled, with its weights and workspace uploaded, ready to run any number of times.
#[derive(Debug)]
pub struct Executor {
    pub(super) ready: Arc<Ready>,
    /// Input, output and staging of [`Executor::run`], made on its first call.
    pub(super) own: Option<OwnBuffers>,
}

/// What stays the same from run to run.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) gpu: Gpu,
    pub(super) recording: Recording,
    pub(super) options: ExecutorOptions,
    /// One per dispatch, in order.
    launches: Vec<Launch>,
    weight_bytes: u64,
    uniforms: Buffer,
    /// One per workspace slot.
    pub(super) slots: Vec<Buffer>,
}

/// What one dispatch needs beside the tensors.
#[derive(Debug)]
struct Launch {
    pipeline: Arc<Pipeline>,
    workgroups: [u32; 3],
    uniform_offset: u64,
    uniform_bytes: u64,
    weights: Weights,
}

#[derive(Debug)]
pub(super) struct OwnBuffers {
    pub(super) input: Buffer,
    pub(super) output: Buffer,
    staging: Buffer,
    pub(super) groups: Vec<BindGroup>,
}

/// An executor bound to an input and an output buffer: bind groups made, ready to record again and again. Shares the
/// executor's weights and workspace, and may outlive it.
#[derive(Debug)]
pub struct Bound {
    pub(super) ready: Arc<Ready>,
    pub(super) groups: Vec<BindGroup>,
}

impl Executor {
    /// Compiles the kernels and uploads the packed parameters. `params` are those of the recording's steps, in order.
    ///
    /// # Errors
    /// What [`Recording::check`] says; [`GpuError::Recording`] for parameters that do not fit it; [`GpuError::TooLarge`],
    /// [`GpuError::KernelLimit`], [`GpuError::OutOfMemory`], or what the device reported.
    pub fn new(gpu: &Gpu, recording: Recording, params: &[StepParams], options: ExecutorOptions) -> Result<Self> {
        recording.check(gpu.capabilities())?;
        // SAFETY: just checked.
        unsafe { Self::new_unchecked(gpu, recording, params, options) }
    }

    /// [`Executor::new`] without [`Recording::check`]: for tests of what the check prevents.
    ///
    /// # Safety
    /// Kernels may run without bounds checks: with dispatches that do not fit the tensors they read and write other memory.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub unsafe fn new_unchecked(
        gpu: &Gpu,
        recording: Recording,
        params: &[StepParams],
        options: ExecutorOptions,
    ) -> Result<Self> {
        if params.len() != recording.steps().count() {
            let (step, reason) = ("as a whole".to_owned(), "there must be parameters for every step");
            return Err(GpuError::Recording { step, reason }.into());
        }
        let mut params = params.iter();
        Self::build(gpu, recording, |_| Ok(params.next().map_or(Cow::Owned(StepParams::None), Cow::Borrowed)), options)
    }

    /// [`Executor::new`] that asks for the parameters of one step at a time, in order, so that they never lie in memory all
    /// at once.
    ///
    /// # Errors
    /// As [`Executor::new`], and what `params` returns.
    pub fn streamed(
        gpu: &Gpu,
        recording: Recording,
        mut params: impl FnMut(&Step) -> Result<StepParams>,
        options: ExecutorOptions,
    ) -> Result<Self> {
        recording.check(gpu.capabilities())?;
        Self::build(gpu, recording, |step| Ok(Cow::Owned(params(step)?)), options)
    }

    fn build<'a>(
        gpu: &Gpu,
        recording: Recording,
        params: impl FnMut(&Step) -> Result<Cow<'a, StepParams>>,
        options: ExecutorOptions,
    ) -> Result<Self> {
        let kernels: Vec<Kernel> =
            recording.steps().flat_map(|step| &step.dispatches).map(|dispatch| dispatch.kernel).collect();
        let mut uploader = Uploader::new(gpu);
        let weights = gpu.compile_beside(&kernels, || upload(&recording, &mut uploader, params))?;
        let weight_bytes = uploader.uploaded();
        let align = u64::from(gpu.inner.device.limits().min_uniform_buffer_offset_alignment).max(16);
        let (mut launches, mut uniforms) = (Vec::with_capacity(kernels.len()), Vec::new());
        for (dispatch, weights) in recording.steps().flat_map(|step| &step.dispatches).zip(weights) {
            uniforms.resize((uniforms.len() as u64).next_multiple_of(align) as usize, 0);
            let uniform_offset = uniforms.len() as u64;
            uniforms.extend_from_slice(&dispatch.params);
            launches.push(Launch {
                pipeline: gpu.pipeline(dispatch.kernel)?,
                workgroups: dispatch.workgroups,
                uniform_offset,
                uniform_bytes: dispatch.params.len() as u64,
                weights,
            });
        }
        let uniforms = gpu.buffer_with("params", &uniforms, BufferUsages::UNIFORM)?;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let slot = |(index, slot): (usize, &crate::plan::Slot)| {
            gpu.buffer(&format!("workspace slot {index}"), slot.bytes as u64 + options.guard_bytes, usage)
        };
        let slots = recording.slots.iter().enumerate().map(slot).collect::<Result<_, GpuError>>()?;
        let ready = Arc::new(Ready { gpu: gpu.clone(), recording, options, launches, weight_bytes, uniforms, slots });
        Ok(Self { ready, own: None })
    }

    /// What is executed.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.ready.recording
    }

    /// The device it is executed on.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.ready.gpu
    }

    /// The device memory that it takes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let ready = &self.ready;
        Memory {
            weights: ready.weight_bytes,
            extra_weights: ready.recording.extra_weight_bytes(),
            workspace: ready.slots.iter().map(Buffer::size).sum(),
            params: ready.uniforms.size(),
            input: self.input_bytes(),
            output: self.output_bytes(),
            staging: self.output_bytes(),
        }
    }

    /// Bytes that the input buffer must have: NHWC, channels padded to a multiple of 4, f32, padding zero.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        self.ready.tensor_bytes(self.ready.recording.plan.input)
    }

    /// Bytes that the output buffer must have: NHWC, channels padded to a multiple of 4, f32; padding is written as zero.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.ready.tensor_bytes(self.ready.recording.plan.output)
    }

    /// Binds the caller's buffers: NHWC as [`input_bytes`](Self::input_bytes) says, with usage `STORAGE`.
    ///
    /// # Errors
    /// [`GpuError::SameBuffer`], [`GpuError::Buffer`] for one that is too small or lacks the usage.
    pub fn bind(&self, input: &Buffer, output: &Buffer) -> Result<Bound> {
        Ok(Bound { ready: self.ready.clone(), groups: self.ready.bind_groups(input, output)? })
    }

    /// Binds the buffers of another executor's own runs, of the same input and output: for contests, whose contestants then need
    /// none of their own. The other one must have run.
    pub(crate) fn bind_beside(&self, other: &Self) -> Result<Bound> {
        let Some(own) = &other.own else {
            return Err(GpuError::Buffer { buffer: "input", reason: "the other executor never ran".to_owned() }.into());
        };
        self.bind(&own.input, &own.output)
    }

    /// Gives back the buffers of its own runs, until it runs again.
    pub(crate) fn release_own_buffers(&mut self) {
        self.own = None;
    }

    /// Runs on host tensors: upload, one submit of all blocks, download.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for an input of another shape; [`GpuError::Lost`], [`GpuError::OutOfMemory`] or what the
    /// device reported. A result is never taken from a device that reported an error.
    pub fn run(&mut self, input: &HostTensor) -> Result<HostTensor> {
        self.start(input)?.wait(|bytes| self.unpack(bytes))?
    }

    /// Runs on some lines of images of a larger tensor, as if they were its input, and puts some lines of what comes out into
    /// their places in another.
    pub(crate) fn run_piece(&mut self, input: &HostTensor, output: &mut HostTensor, piece: Piece) -> Result<()> {
        self.start_piece(input, piece.from)?.wait(|bytes| self.put(bytes, output, piece))?;
        Ok(())
    }

    /// [`Executor::run_piece`] for async callers.
    pub(crate) async fn run_piece_async(
        &mut self,
        input: &HostTensor,
        output: &mut HostTensor,
        piece: Piece,
    ) -> Result<()> {
        self.start_piece(input, piece.from)?.wait_async(|bytes| self.put(bytes, output, piece)).await?;
        Ok(())
    }

    /// [`Executor::run`] for async callers. On native backends the future polls the device whenever it is polled itself.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub async fn run_async(&mut self, input: &HostTensor) -> Result<HostTensor> {
        self.start(input)?.wait_async(|bytes| self.unpack(bytes)).await?
    }

    /// A tensor that the plan keeps, as the last [`Executor::run`] left it.
    ///
    /// # Errors
    /// [`GpuError::Recording`] for a tensor that is not kept; [`GpuError::Lost`], or what the device reported.
    pub fn kept(&self, id: TensorId) -> Result<HostTensor> {
        let recording = &self.ready.recording;
        let place = recording.places.get(id.0).filter(|_| recording.plan.kept.contains(&id));
        let Some(Placement::Slot(slot)) = place else {
            let step = format!("tensor {}", id.0);
            return Err(GpuError::Recording { step, reason: "is not kept, so it may be another's by now" }.into());
        };
        let info = recording.plan.tensor(id);
        let slot = &self.ready.slots[*slot];
        self.ready.gpu.download_first(slot, info.bytes() as u64, |bytes| unpack(info, bytes))?
    }

    /// Runs on an input that the GPU makes: the command buffer that `fill` returns writes it, NHWC as
    /// [`input_bytes`](Self::input_bytes) says, into the buffer that `fill` is given. Padding must be zero.
    ///
    /// # Errors
    /// As [`Executor::run`], and what `fill` returns.
    pub fn run_filled(&mut self, fill: impl FnOnce(&Buffer) -> Result<CommandBuffer>) -> Result<HostTensor> {
        self.make_own_buffers()?;
        let Some(own) = &self.own else { unreachable!("made above") };
        let first = fill(&own.input)?;
        self.submit(|_, _| Some(first))?.wait(|bytes| self.unpack(bytes))?
    }

    fn start(&mut self, input: &HostTensor) -> Result<Readback> {
        let plan = &self.ready.recording.plan;
        input.check_shape("input", plan.tensor(plan.input).shape)?;
        self.start_piece(input, Lines::all(input.shape()))
    }

    /// Uploads some lines of a tensor, which are as many values as the input has, and submits a run.
    fn start_piece(&mut self, input: &HostTensor, lines: Lines) -> Result<Readback> {
        let plan = &self.ready.recording.plan;
        let layout = plan.tensor(plan.input).layout;
        self.make_own_buffers()?;
        let (bytes, mut written) = (self.input_bytes(), Ok(()));
        let readback = self.submit(|queue, buffer| {
            written = write(queue, buffer, bytes, input, lines, layout);
            None
        })?;
        written?;
        Ok(readback)
    }

    /// Submits a run of the executor's own buffers. `first` fills the input, or returns the commands that do.
    fn submit(&self, first: impl FnOnce(&Queue, &Buffer) -> Option<CommandBuffer>) -> Result<Readback> {
        let output_bytes = self.output_bytes();
        let Some(own) = &self.own else { unreachable!("the callers made them") };
        let inner = &self.ready.gpu.inner;
        inner.monitor.guarded(&inner.device, "running", || {
            let mut commands: Vec<CommandBuffer> = first(&inner.queue, &own.input).into_iter().collect();
            commands.extend(self.ready.command_buffers(&own.groups));
            let mut copy =
                inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
            copy.copy_buffer_to_buffer(&own.output, 0, &own.staging, 0, output_bytes);
            commands.push(copy.finish());
            inner.queue.submit(commands);
        })?;
        Ok(Readback::start(&self.ready.gpu, &own.staging)?)
    }

    fn unpack(&self, bytes: &[u8]) -> Result<HostTensor> {
        let plan = &self.ready.recording.plan;
        unpack(plan.tensor(plan.output), bytes)
    }

    /// Puts lines of an output into their places.
    fn put(&self, bytes: &[u8], output: &mut HostTensor, piece: Piece) {
        let plan = &self.ready.recording.plan;
        let TensorInfo { shape, layout, .. } = plan.tensor(plan.output);
        output.put_nhwc(*layout, &values(bytes), shape.h, piece.first, piece.to);
    }

    /// Makes the buffers of [`Executor::run`] unless they are there.
    pub(super) fn make_own_buffers(&mut self) -> Result<(), GpuError> {
        if self.own.is_some() {
            return Ok(());
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let guard = self.ready.options.guard_bytes;
        let input = self.ready.gpu.buffer("input", self.input_bytes() + guard, usage)?;
        let output = self.ready.gpu.buffer("output", self.output_bytes() + guard, usage)?;
        let staging =
            self.ready.gpu.buffer("staging", self.output_bytes(), BufferUsages::COPY_DST | BufferUsages::MAP_READ)?;
        let groups = self.ready.bind_groups(&input, &output)?;
        self.own = Some(OwnBuffers { input, output, staging, groups });
        Ok(())
    }
}

impl Ready {
    fn tensor_bytes(&self, id: TensorId) -> u64 {
        self.recording.plan.tensor(id).bytes() as u64
    }

    fn bind_groups(&self, input: &Buffer, output: &Buffer) -> Result<Vec<BindGroup>, GpuError> {
        if input == output {
            return Err(GpuError::SameBuffer);
        }
        let guard = self.options.guard_bytes;
        check_buffer("input", input, self.tensor_bytes(self.recording.plan.input) + guard)?;
        check_buffer("output", output, self.tensor_bytes(self.recording.plan.output) + guard)?;
        let inner = &self.gpu.inner;
        inner.monitor.guarded(&inner.device, "binding buffers", || {
            let dispatches = self
                .recording
                .steps()
                .flat_map(|recorded| recorded.dispatches.iter().map(move |dispatch| (recorded, dispatch)));
            let pairs = dispatches.zip(&self.launches);
            pairs.map(|((step, dispatch), launch)| self.bind_group(step, dispatch, launch, input, output)).collect()
        })
    }

    fn bind_group(
        &self,
        recorded: &RecordedStep,
        dispatch: &Dispatch,
        launch: &Launch,
        input: &Buffer,
        output: &Buffer,
    ) -> BindGroup {
        let step = &recorded.step;
        // The tensor and its guard band, not all of the buffer: a caller's may be larger than a binding can be.
        let bound = |buffer, bytes: u64| {
            let size = NonZeroU64::new(bytes + self.options.guard_bytes);
            BindingResource::Buffer(BufferBinding { buffer, offset: 0, size })
        };
        let tensor = |id: TensorId| {
            let buffer = match self.recording.places[id.0] {
                Placement::Input => input,
                Placement::Output => output,
                Placement::Slot(slot) => &self.slots[slot],
            };
            bound(buffer, self.tensor_bytes(id))
        };
        let scratch = |index: usize| {
            let Scratch { slot, bytes } = recorded.scratch[index];
            bound(&self.slots[slot], bytes as u64)
        };
        let params = || {
            let size = NonZeroU64::new(launch.uniform_bytes);
            BindingResource::Buffer(BufferBinding { buffer: &self.uniforms, offset: launch.uniform_offset, size })
        };
        let resource = |binding: Binding| match (binding, &launch.weights) {
            (Binding::Params, _) => params(),
            (Binding::Input(index), _) => tensor(step.inputs[index]),
            (Binding::Output, _) => tensor(step.output),
            (Binding::Scratch(index), _) => scratch(index),
            (Binding::Weights, Weights::Buffer(buffer)) => buffer.as_entire_binding(),
            (Binding::Weights, Weights::Texture(view)) => BindingResource::TextureView(view),
            (Binding::Weights, Weights::None) => self.uniforms.as_entire_binding(),
        };
        let entries: Vec<BindGroupEntry<'_>> = (0..)
            .zip(dispatch.kernel.bindings())
            .map(|(binding, role)| BindGroupEntry { binding, resource: resource(role) })
            .collect();
        let label = step.to_string();
        self.gpu.inner.device.create_bind_group(&BindGroupDescriptor {
            label: Some(&label),
            layout: &launch.pipeline.layout,
            entries: &entries,
        })
    }

    /// Encodes one segment as one compute pass. `first` is the index of its first dispatch.
    fn encode(&self, segment: usize, first: usize, groups: &[BindGroup], encoder: &mut CommandEncoder) -> usize {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let behind =
            first + self.recording.segments[segment].steps.iter().map(|step| step.dispatches.len()).sum::<usize>();
        (first..behind).for_each(|at| self.launch(at, groups, &mut pass));
        behind
    }

    /// Encodes the dispatch of this index.
    pub(super) fn launch(&self, at: usize, groups: &[BindGroup], pass: &mut ComputePass<'_>) {
        let Launch { pipeline, workgroups: [x, y, z], .. } = &self.launches[at];
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &groups[at], &[]);
        pass.dispatch_workgroups(*x, *y, *z);
    }

    /// One command buffer per segment.
    pub(super) fn command_buffers(&self, groups: &[BindGroup]) -> Vec<CommandBuffer> {
        let mut first = 0;
        let record = |segment: usize| {
            let first_step = self.recording.segments[segment].steps.first();
            let label = first_step.map(|recorded| recorded.step.module.as_str());
            let descriptor = wgpu::CommandEncoderDescriptor { label };
            let mut encoder = self.gpu.inner.device.create_command_encoder(&descriptor);
            first = self.encode(segment, first, groups, &mut encoder);
            encoder.finish()
        };
        (0..self.recording.segments.len()).map(record).collect()
    }
}

impl Bound {
    /// One command buffer per block, for the caller to submit, in this order, in one submit or several.
    ///
    /// # Errors
    /// [`GpuError::Lost`], or what the device reported. The loss of a borrowed device is told to its app alone: there,
    /// wgpu drops what is recorded and submitted without a word, until something is read back.
    pub fn record(&self) -> Result<Vec<CommandBuffer>> {
        let inner = &self.ready.gpu.inner;
        Ok(inner.monitor.guarded(&inner.device, "recording", || self.ready.command_buffers(&self.groups))?)
    }

    /// Records every block, a compute pass each, into the caller's encoder; the command buffer is then the caller's.
    ///
    /// # Errors
    /// As [`Bound::record`].
    pub fn record_into(&self, encoder: &mut CommandEncoder) -> Result<()> {
        let (ready, mut first) = (&self.ready, 0);
        let inner = &ready.gpu.inner;
        inner.monitor.guarded(&inner.device, "recording", || {
            for segment in 0..ready.recording.segments.len() {
                first = ready.encode(segment, first, &self.groups, encoder);
            }
        })?;
        Ok(())
    }
}

/// A run on some lines of a larger tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The lines that are its input.
    pub from: Lines,
    /// The line of its output that is the first to be taken.
    pub first: usize,
    /// Where the lines that are taken belong.
    pub to: Lines,
}

/// Writes lines of a tensor into a buffer by the next submit, without another copy on the host.
fn write(
    queue: &Queue,
    buffer: &Buffer,
    bytes: u64,
    tensor: &HostTensor,
    lines: Lines,
    layout: ChannelLayout,
) -> Result<(), ShapeError> {
    // Where the buffer cannot be written, wgpu reports it as ever.
    let staging = NonZeroU64::new(bytes).and_then(|bytes| queue.write_buffer_with(buffer, 0, bytes));
    let Some(mut staging) = staging else { return Ok(()) };
    let mut at = 0;
    tensor.nhwc_strips(layout, lines, |strip| {
        let strip: &[u8] = bytemuck::cast_slice(strip);
        staging.slice(at..at + strip.len()).copy_from_slice(strip);
        at += strip.len();
    })
}

/// A tensor from its bytes on the device.
fn unpack(info: &TensorInfo, bytes: &[u8]) -> Result<HostTensor> {
    Ok(HostTensor::from_nhwc(info.shape, info.layout, &values(bytes))?)
}

/// What is mapped is aligned, unless a backend has other ideas.
fn values(bytes: &[u8]) -> Cow<'_, [f32]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

fn check_buffer(which: &'static str, buffer: &Buffer, bytes: u64) -> Result<(), GpuError> {
    let refuse = |reason| Err(GpuError::Buffer { buffer: which, reason });
    if buffer.size() < bytes {
        return refuse(format!("expected at least {bytes} bytes, found {}", buffer.size()));
    }
    if !buffer.usage().contains(BufferUsages::STORAGE) {
        return refuse(format!("expected usage STORAGE, found {:?}", buffer.usage()));
    }
    Ok(())
}
