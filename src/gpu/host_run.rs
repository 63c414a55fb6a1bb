//! Runs from host tensors to host tensors, in buffers of the executor's own.

use wgpu::{BindGroup, Buffer, BufferUsages, CommandBuffer, Device};

use super::Executor;
use super::executor::Ready;
use super::readback::Readback;
use super::upload_staging::UploadStaging;
use crate::error::{GpuError, Result, ShapeError};
use crate::plan::{Placement, TensorId, TensorInfo};
use crate::tensor::{HostTensor, Lines};

/// What runs from host tensors need beside the weights and the workspace.
#[derive(Debug)]
pub(super) struct OwnBuffers {
    pub(super) input: Buffer,
    pub(super) output: Buffer,
    staging: Buffer,
    /// What the next input is written into, unless the last run left it behind unmapped.
    upload: Option<UploadStaging>,
    pub(super) groups: Vec<BindGroup>,
}

impl Executor {
    /// Runs on host tensors: upload, one submit of all blocks, download.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for an input of another shape; [`GpuError::Lost`], [`GpuError::OutOfMemory`] or what the
    /// device reported. A result is never taken from a device that reported an error.
    pub fn run(&mut self, input: &HostTensor) -> Result<HostTensor> {
        let mut output = self.new_output();
        self.run_into(input, &mut output)?;
        Ok(output)
    }

    /// [`Executor::run`] for async callers. On native backends the future polls the device whenever it is polled itself.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub async fn run_async(&mut self, input: &HostTensor) -> Result<HostTensor> {
        let mut output = self.new_output();
        self.run_into_async(input, &mut output).await?;
        Ok(output)
    }

    /// [`Executor::run`] into a tensor that is there already. A large output is made faster this way: the system hands out fresh
    /// memory page by page, on the first touch of each. What the tensor holds after an error is not said.
    ///
    /// # Errors
    /// As [`Executor::run`]; [`ShapeError::Mismatch`] for an output of another shape.
    pub fn run_into(&mut self, input: &HostTensor, output: &mut HostTensor) -> Result<()> {
        let piece = self.whole_piece(input, output)?;
        self.run_piece(input, output, piece)
    }

    /// [`Executor::run_into`] for async callers.
    ///
    /// # Errors
    /// As [`Executor::run_into`].
    pub async fn run_into_async(&mut self, input: &HostTensor, output: &mut HostTensor) -> Result<()> {
        let piece = self.whole_piece(input, output)?;
        self.run_piece_async(input, output, piece).await
    }

    /// Runs on some lines of images of a larger tensor, as if they were its input, and puts some lines of what comes out into
    /// their places in another.
    pub(crate) fn run_piece(&mut self, input: &HostTensor, output: &mut HostTensor, piece: Piece) -> Result<()> {
        self.start(input, piece.from)?.wait(|bytes| self.put(bytes, output, piece))?;
        Ok(())
    }

    /// [`Executor::run_piece`] for async callers.
    pub(crate) async fn run_piece_async(
        &mut self,
        input: &HostTensor,
        output: &mut HostTensor,
        piece: Piece,
    ) -> Result<()> {
        self.start(input, piece.from)?.wait_async(|bytes| self.put(bytes, output, piece)).await?;
        Ok(())
    }

    /// Sets a tensor that the plan says is given, for all runs from now on.
    ///
    /// # Errors
    /// [`GpuError::Recording`] for a tensor that is not given; [`ShapeError::Mismatch`] for another shape; [`GpuError::Lost`], or what
    /// the device reported.
    pub fn give(&mut self, id: TensorId, tensor: &HostTensor) -> Result<()> {
        let Ready { gpu, recording, slots, .. } = &*self.ready;
        let place = recording.places.get(id.0).filter(|_| recording.plan.given.contains(&id));
        let Some(Placement::Slot(slot)) = place else {
            let step = format!("tensor {}", id.0);
            return Err(GpuError::Recording { step, reason: "is not given" }.into());
        };
        let info = recording.plan.tensor(id);
        let packed = info.pack(tensor)?;
        let bytes = info.element.encode(&packed);
        let inner = &gpu.inner;
        let write = || inner.queue.write_buffer(&slots[*slot], 0, &bytes);
        Ok(inner.monitor.guarded(&inner.device, "uploading", write)?)
    }

    /// A tensor that the plan keeps, as the last [`Executor::run`] left it, or that is given, as it is for the next run.
    ///
    /// # Errors
    /// [`GpuError::Recording`] for a tensor that is neither; [`GpuError::Lost`], or what the device reported.
    pub fn kept(&self, id: TensorId) -> Result<HostTensor> {
        let recording = &self.ready.recording;
        let stays = recording.plan.kept.contains(&id) || recording.plan.given.contains(&id);
        let place = recording.places.get(id.0).filter(|_| stays);
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
        let plan = &self.ready.recording.plan;
        self.submit(|_, _| first)?.wait(|bytes| unpack(plan.tensor(plan.output), bytes))?
    }

    /// What lies in the input buffer of its own runs.
    ///
    /// # Errors
    /// As [`Executor::kept`].
    pub(crate) fn own_input(&mut self) -> Result<HostTensor> {
        self.make_own_buffers()?;
        let Some(own) = &self.own else { unreachable!("made above") };
        let info = self.ready.recording.plan.tensor(self.ready.recording.plan.input);
        self.ready.gpu.download_first(&own.input, info.bytes() as u64, |bytes| unpack(info, bytes))?
    }

    fn new_output(&self) -> HostTensor {
        let plan = &self.ready.recording.plan;
        HostTensor::zeros(plan.tensor(plan.output).shape)
    }

    /// All of an input and an output, which must be those of the plan.
    fn whole_piece(&self, input: &HostTensor, output: &HostTensor) -> Result<Piece, ShapeError> {
        let plan = &self.ready.recording.plan;
        input.check_shape("input", plan.tensor(plan.input).shape)?;
        output.check_shape("output", plan.tensor(plan.output).shape)?;
        Ok(Piece { from: Lines::all(input.shape()), first: 0, to: Lines::all(output.shape()) })
    }

    /// Uploads some lines of a tensor, which are as many values as the input has, and submits a run.
    fn start(&mut self, input: &HostTensor, lines: Lines) -> Result<Readback> {
        self.make_own_buffers()?;
        let (plan, bytes) = (&self.ready.recording.plan, self.input_bytes());
        let TensorInfo { layout, element, .. } = *plan.tensor(plan.input);
        let kept = self.own.as_mut().and_then(|own| own.upload.take());
        let upload = match kept.filter(UploadStaging::is_mapped) {
            Some(upload) => upload,
            None => UploadStaging::new(&self.ready.gpu, bytes)?,
        };
        upload.fill(&self.ready.gpu, element, |write| input.nhwc_strips(layout, lines, write))?;
        let readback = self.submit(|device, input| {
            let mut copy = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("upload") });
            copy.copy_buffer_to_buffer(upload.buffer(), 0, input, 0, bytes);
            copy.finish()
        })?;
        let upload = upload.map_again(&self.ready.gpu)?;
        if let Some(own) = &mut self.own {
            own.upload = Some(upload);
        }
        Ok(readback)
    }

    /// Submits a run of the executor's own buffers, behind the commands that fill the input.
    fn submit(&self, first: impl FnOnce(&Device, &Buffer) -> CommandBuffer) -> Result<Readback> {
        let output_bytes = self.output_bytes();
        let Some(own) = &self.own else { unreachable!("the callers made them") };
        let inner = &self.ready.gpu.inner;
        inner.monitor.guarded(&inner.device, "running", || {
            let mut commands = vec![first(&inner.device, &own.input)];
            commands.extend(self.ready.command_buffers(&own.groups));
            let mut copy =
                inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
            copy.copy_buffer_to_buffer(&own.output, 0, &own.staging, 0, output_bytes);
            commands.push(copy.finish());
            inner.queue.submit(commands);
        })?;
        Ok(Readback::start(&self.ready.gpu, &own.staging)?)
    }

    /// Puts lines of an output into their places.
    fn put(&self, bytes: &[u8], output: &mut HostTensor, piece: Piece) {
        let plan = &self.ready.recording.plan;
        let TensorInfo { shape, layout, element, .. } = plan.tensor(plan.output);
        output.put_nhwc(*layout, &element.decode(bytes), shape.h, piece.first, piece.to);
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
        self.own = Some(OwnBuffers { input, output, staging, upload: None, groups });
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

/// A tensor from its bytes on the device.
fn unpack(info: &TensorInfo, bytes: &[u8]) -> Result<HostTensor> {
    Ok(info.from_device(bytes)?)
}
