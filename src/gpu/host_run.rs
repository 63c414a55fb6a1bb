//! Runs from host tensors to host tensors, in buffers of the executor's own.

use std::borrow::Cow;
use std::num::NonZeroU64;

use wgpu::{BindGroup, Buffer, BufferUsages, CommandBuffer, Queue};

use super::Executor;
use super::readback::Readback;
use crate::error::{GpuError, Result, ShapeError};
use crate::plan::{Placement, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, HostTensor, Lines};

#[derive(Debug)]
pub(super) struct OwnBuffers {
    pub(super) input: Buffer,
    pub(super) output: Buffer,
    staging: Buffer,
    pub(super) groups: Vec<BindGroup>,
}

impl Executor {
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

    /// Gives back the buffers of its own runs, until it runs again.
    pub(crate) fn release_own_buffers(&mut self) {
        self.own = None;
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
