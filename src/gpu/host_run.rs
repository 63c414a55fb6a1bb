//! Runs from host tensors to host tensors, in the executor's own buffers.

use std::time::Instant;

use wgpu::{Buffer, CommandBuffer, CommandEncoder, CommandEncoderDescriptor};

use super::executor_state::Ready;
use super::own_buffers::OwnBuffers;
use super::proof::Path;
use super::readback::{Readback, Staging};
use super::upload_staging::UploadStaging;
use super::{Executor, Preprocessor, Source};
use crate::error::{GpuError, Result, ShapeError};
use crate::plan::{Location, TensorId, TensorInfo};
use crate::tensor::{HostTensor, Rows};

impl Executor {
    /// Runs on host tensors: upload, one submit of all blocks, download.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the input has another shape; [`ShapeError::Memory`] if the
    /// output does not fit into host memory; [`GpuError::Lost`], [`GpuError::OutOfMemory`] or any
    /// error of the device. No result is returned if the device
    /// reported an error.
    pub fn run(&mut self, input: &HostTensor) -> Result<HostTensor> {
        let mut output = self.new_output()?;
        self.run_into(input, &mut output)?;
        Ok(output)
    }

    /// [`Executor::run`] for async callers. On native backends, the future polls the device
    /// whenever it is polled.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub async fn run_async(&mut self, input: &HostTensor) -> Result<HostTensor> {
        let mut output = self.new_output()?;
        self.run_into_async(input, &mut output).await?;
        Ok(output)
    }

    /// [`Executor::run`] into an existing tensor. This is faster for large outputs: the system maps
    /// new memory page by page, on first access. After an error, the contents of the tensor are
    /// unspecified.
    ///
    /// # Errors
    /// As [`Executor::run`]; [`ShapeError::Mismatch`] if the output has another shape.
    pub fn run_into(&mut self, input: &HostTensor, output: &mut HostTensor) -> Result<()> {
        let piece = self.whole_piece(input, output)?;
        self.run_rows(input, output, piece)
    }

    /// [`Executor::run_into`] for async callers.
    ///
    /// # Errors
    /// As [`Executor::run_into`].
    pub async fn run_into_async(
        &mut self,
        input: &HostTensor,
        output: &mut HostTensor,
    ) -> Result<()> {
        let piece = self.whole_piece(input, output)?;
        self.run_rows_async(input, output, piece).await
    }

    /// Runs on a range of image rows of a larger tensor, as if they were the plan's input, and
    /// copies some rows of the result to their position in another tensor.
    pub(crate) fn run_rows(
        &mut self,
        input: &HostTensor,
        output: &mut HostTensor,
        piece: RowRun,
    ) -> Result<()> {
        let start = self.stopwatch();
        let readback = self.start(input, piece.from)?;
        let read = |bytes: &[u8]| {
            self.measured(start);
            self.put(bytes, output, piece)
        };
        Ok(readback.wait(read)??)
    }

    /// [`Executor::run_rows`] for async callers.
    pub(crate) async fn run_rows_async(
        &mut self,
        input: &HostTensor,
        output: &mut HostTensor,
        piece: RowRun,
    ) -> Result<()> {
        let start = self.stopwatch();
        let readback = self.start(input, piece.from)?;
        let read = |bytes: &[u8]| {
            self.measured(start);
            self.put(bytes, output, piece)
        };
        Ok(readback.wait_async(read).await??)
    }

    /// Sets a [variable](crate::plan::Plan::variables) of the plan, for all later runs.
    ///
    /// # Errors
    /// [`GpuError::Recording`] if the tensor is not a variable; [`ShapeError::Mismatch`] for
    /// another shape; [`GpuError::Lost`], or any error of the device.
    pub fn write(&mut self, id: TensorId, tensor: &HostTensor) -> Result<()> {
        let Ready { gpu, recording, slots, .. } = &*self.ready;
        let location =
            recording.locations.get(id.0).filter(|_| recording.plan.variables.contains(&id));
        let Some(Location::Slot(slot)) = location else {
            let step = format!("tensor {}", id.0);
            return Err(GpuError::Recording { step, reason: "is not a variable" }.into());
        };
        let info = recording.plan.tensor(id);
        let packed = info.pack(tensor)?;
        let bytes = info.dtype.encode(&packed);
        let inner = &gpu.inner;
        let write = || inner.queue.write_buffer(&slots[*slot], 0, &bytes);
        Ok(inner.monitor.guarded(&inner.device, "uploading", write)?)
    }

    /// Reads a [fetch](crate::plan::Plan::fetches) of the plan, as of the last [`Executor::run`],
    /// or a variable, as set for the next run.
    ///
    /// # Errors
    /// [`GpuError::Recording`] if the tensor is neither; [`GpuError::Lost`], or any error of the
    /// device.
    pub fn read(&self, id: TensorId) -> Result<HostTensor> {
        let recording = &self.ready.recording;
        let stays = recording.plan.fetches.contains(&id) || recording.plan.variables.contains(&id);
        let place = recording.locations.get(id.0).filter(|_| stays);
        let Some(Location::Slot(slot)) = place else {
            let step = format!("tensor {}", id.0);
            return Err(GpuError::Recording {
                step,
                reason: "is neither a fetch nor a variable, so it may have been overwritten",
            }
            .into());
        };
        let info = recording.plan.tensor(id);
        let slot = &self.ready.slots[*slot];
        self.ready.gpu.download_first(slot, info.bytes() as u64, |bytes| unpack(info, bytes))?
    }

    /// Runs on an input that is written on the GPU: `fill` encodes the work that writes it into the
    /// buffer passed to `fill`, as NHWC (see [`input_bytes`](Self::input_bytes)). Padding must be
    /// zero.
    ///
    /// # Errors
    /// As [`Executor::run`], and any error of `fill`.
    pub fn run_filled(
        &mut self,
        fill: impl FnOnce(&Buffer, &mut CommandEncoder) -> Result<()>,
    ) -> Result<HostTensor> {
        self.run_on_filled(|input, encoder, _| fill(input, encoder))
    }

    /// Runs on images, which are preprocessed in the same submit.
    pub(crate) fn run_images(
        &mut self,
        preprocessor: &Preprocessor,
        images: &[Source<'_>],
    ) -> Result<HostTensor> {
        self.run_on_filled(|input, encoder, path| {
            preprocessor.encode_all(encoder, images, input, path)
        })
    }

    fn run_on_filled(
        &mut self,
        fill: impl FnOnce(&Buffer, &mut CommandEncoder, &mut Path) -> Result<()>,
    ) -> Result<HostTensor> {
        self.make_own_buffers()?;
        let (plan, start) = (&self.ready.recording.plan, self.stopwatch());
        let readback = self.submit("images", fill)?;
        readback.wait(|bytes| {
            self.measured(start);
            unpack(plan.tensor(plan.output), bytes)
        })?
    }

    /// Reads the input buffer of the executor's own runs.
    ///
    /// # Errors
    /// As [`Executor::read`].
    pub(crate) fn own_input(&mut self) -> Result<HostTensor> {
        self.make_own_buffers()?;
        let Some(own) = &self.own else { unreachable!("made above") };
        let info = self.ready.recording.plan.tensor(self.ready.recording.plan.input);
        self.ready
            .gpu
            .download_first(&own.input, info.bytes() as u64, |bytes| unpack(info, bytes))?
    }

    fn new_output(&self) -> Result<HostTensor, ShapeError> {
        let plan = &self.ready.recording.plan;
        HostTensor::try_zeros(plan.tensor(plan.output).shape)
            .map_err(|error| error.of_tensor("output"))
    }

    /// The piece for a whole input and output, whose shapes must match the plan.
    fn whole_piece(&self, input: &HostTensor, output: &HostTensor) -> Result<RowRun, ShapeError> {
        let plan = &self.ready.recording.plan;
        input.check_shape("input", plan.tensor(plan.input).shape)?;
        output.check_shape("output", plan.tensor(plan.output).shape)?;
        Ok(RowRun { from: Rows::all(input.shape()), first: 0, to: Rows::all(output.shape()) })
    }

    /// Uploads rows of a tensor, as many values as the input has, and submits a run.
    fn start(&mut self, input: &HostTensor, lines: Rows) -> Result<Readback> {
        self.make_own_buffers()?;
        let (plan, bytes) = (&self.ready.recording.plan, self.input_bytes());
        let info = plan.tensor(plan.input);
        let kept = self.own.as_mut().and_then(|own| own.upload.take());
        let upload = match kept.filter(UploadStaging::is_mapped) {
            Some(upload) => upload,
            None => UploadStaging::new(&self.ready.gpu, bytes)?,
        };
        upload.fill(&self.ready.gpu, info.dtype, |write| match info.weights {
            None => input.nhwc_strips(info.layout, lines, write),
            // Weights are never split into parts.
            Some(_) => info.pack(input).map(|packed| write(&packed)),
        })?;
        let readback = self.submit("upload", |input, encoder, path| {
            encoder.copy_buffer_to_buffer(upload.buffer(), 0, input, 0, bytes);
            path.copied(encoder);
            Ok(())
        })?;
        let upload = upload.map_again(&self.ready.gpu)?;
        if let Some(own) = &mut self.own {
            own.upload = Some(upload);
        }
        Ok(readback)
    }

    /// Submits a run in the executor's own buffers, after the commands that fill the input.
    fn submit(
        &self,
        label: &str,
        fill: impl FnOnce(&Buffer, &mut CommandEncoder, &mut Path) -> Result<()>,
    ) -> Result<Readback> {
        let output_bytes = self.output_bytes();
        let Some(own) = &self.own else { unreachable!("the callers made them") };
        let inner = &self.ready.gpu.inner;
        let staging = &own.staging.buffer;
        let (mut first, mut path) = inner.monitor.guarded(&inner.device, "recording", || {
            let descriptor = CommandEncoderDescriptor { label: Some(label) };
            let first = inner.device.create_command_encoder(&descriptor);
            (first, own.proof.begin(&inner.queue, 0))
        })?;
        fill(&own.input, &mut first, &mut path)?;
        inner.monitor.guarded(&inner.device, "running", || {
            let mut commands = vec![first.finish()];
            commands.extend(self.ready.command_buffers(&own.groups, &mut path, false));
            let label = Some("readback");
            let mut copy = inner.device.create_command_encoder(&CommandEncoderDescriptor { label });
            copy.copy_buffer_to_buffer(&own.output, 0, staging, 0, output_bytes);
            path.bring_back(&mut copy, staging, output_bytes);
            commands.push(copy.finish());
            self.submit_in_parts(commands);
        })?;
        Ok(Readback::start(&self.ready.gpu, &own.staging, output_bytes, path.expected())?)
    }

    /// The current time, if runs are submitted in parts; wasm has no clock of this kind.
    fn stopwatch(&self) -> Option<Instant> {
        let watched = self.ready.gpu.inner.capabilities.watched_rate.is_some();
        (watched && !cfg!(target_family = "wasm")).then(Instant::now)
    }

    /// Adds a run that began at this time to the device's rate.
    fn measured(&self, start: Option<Instant>) {
        let Some(start) = start else { return };
        let Ready { gpu, recording, .. } = &*self.ready;
        let work = (0..recording.segments.len()).map(|segment| recording.segment_work(segment));
        gpu.inner.rate.add(work.fold(0, u64::saturating_add), start.elapsed());
    }

    /// Submits the command buffers of a run: all at once, or on a device with a watchdog in parts
    /// that take a short time. The first and the last of them are no segments.
    fn submit_in_parts(&self, mut commands: Vec<CommandBuffer>) {
        let Ready { gpu, recording, .. } = &*self.ready;
        let inner = &gpu.inner;
        if let Some(assumed) = inner.capabilities.watched_rate {
            let groups = recording.submits(inner.rate.get().unwrap_or(assumed));
            let all_but_last = groups.split_last().map_or(&[][..], |(_, others)| others);
            for group in all_but_last {
                let fills_input = usize::from(group.start == 0);
                let rest = commands.split_off(group.len() + fills_input);
                inner.queue.submit(commands);
                commands = rest;
            }
        }
        inner.queue.submit(commands);
    }

    /// Copies rows of a result to their position in the output; weights are copied as a whole.
    fn put(&self, bytes: &[u8], output: &mut HostTensor, piece: RowRun) -> Result<(), ShapeError> {
        let plan = &self.ready.recording.plan;
        let info = plan.tensor(plan.output);
        let values = info.dtype.decode(bytes);
        match info.weights {
            None => output.put_nhwc(info.layout, &values, info.shape.h, piece.first, piece.to),
            Some(_) => *output = info.unpack(&values)?,
        }
        Ok(())
    }

    /// Creates the buffers of [`Executor::run`] if needed.
    pub(super) fn make_own_buffers(&mut self) -> Result<()> {
        match &mut self.own {
            None => self.own = Some(OwnBuffers::new(&self.ready)?),
            Some(own) if own.staging.is_pending() => {
                own.staging = Staging::new(&self.ready.gpu, self.ready.output_bytes())?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Frees the buffers of the executor's own runs; the next run creates them again.
    pub(crate) fn release_own_buffers(&mut self) {
        self.own = None;
    }
}

/// A run on some rows of a larger tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRun {
    /// The rows that are its input.
    pub from: Rows,
    /// The first row of its output to use.
    pub first: usize,
    /// The target of the used rows.
    pub to: Rows,
}

/// Converts a tensor from its bytes on the device.
fn unpack(info: &TensorInfo, bytes: &[u8]) -> Result<HostTensor> {
    Ok(info.from_device(bytes)?)
}
