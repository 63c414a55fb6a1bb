//! An executor bound to buffers; records its dispatches into command buffers, one per segment.

use std::ops::Range;
use std::sync::Arc;

use wgpu::{
    BindGroup, Buffer, CommandBuffer, CommandEncoder, ComputePass, TexelCopyBufferInfo,
    TexelCopyBufferLayout,
};

use super::executor_state::Ready;
use super::launches::Launch;
use super::proof::Path;
use super::texels::TEXEL_BYTES;
use super::unverified::Unverified;
use super::workspace::TextureCopy;
use crate::error::Result;

/// An executor bound to an input and an output buffer, with its bind groups, so that it can be
/// recorded repeatedly. Shares the executor's weights and workspace, and may outlive it.
#[derive(Debug)]
pub struct Bound {
    pub(super) ready: Arc<Ready>,
    pub(super) groups: Vec<BindGroup>,
    unverified: Unverified,
}

impl Bound {
    /// Binds the caller's buffers.
    pub(super) fn new(ready: Arc<Ready>, input: &Buffer, output: &Buffer) -> Result<Self> {
        let groups = ready.bind_groups(input, output)?;
        let unverified = Unverified::new(ready.copy_sections());
        Ok(Self { ready, groups, unverified })
    }

    /// Records one command buffer per block, for the caller to submit in this order, in one submit
    /// or several.
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost), or any error of the device. If the device
    /// is lost later, wgpu drops submitted command buffers without an error:
    /// [`Gpu::wait`](super::Gpu::wait) and [`Gpu::download`](super::Gpu::download) report the loss.
    pub fn record(&self) -> Result<Vec<CommandBuffer>> {
        let inner = &self.ready.gpu.inner;
        let mut path = self.unverified.begin(&self.ready.gpu)?;
        let commands = inner.monitor.guarded(&inner.device, "recording", || {
            self.ready.command_buffers(&self.groups, &mut path, true)
        })?;
        self.unverified.ended(&path);
        Ok(commands)
    }

    /// Records every block into the caller's encoder, as one compute pass each unless textures must
    /// be filled in between. The caller owns the command buffer.
    ///
    /// # Errors
    /// As [`Bound::record`].
    pub fn record_into(&self, encoder: &mut CommandEncoder) -> Result<()> {
        let (ready, mut first) = (&self.ready, 0);
        let inner = &ready.gpu.inner;
        let mut path = self.unverified.begin(&ready.gpu)?;
        inner.monitor.guarded(&inner.device, "recording", || {
            for segment in 0..ready.recording.segments.len() {
                first = ready.encode(segment, first, &self.groups, encoder, &mut path);
            }
            path.end(encoder);
        })?;
        self.unverified.ended(&path);
        Ok(())
    }

    /// Waits for the work recorded since the last successful call, and checks that it ran: a driver
    /// may report work as finished that never ran, and the output then still holds earlier values.
    /// Call it after all that was recorded has been submitted, and before you rely on results that
    /// stay on the device. It checks the last 240 recordings. A recording that was not submitted
    /// counts as not run, also one that another thread has just made. On Metal it checks every
    /// command buffer, elsewhere the submit with the last one.
    ///
    /// [`BlockChain::run`](crate::BlockChain::run) and all other calls that return results check
    /// their own work.
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost) if work did not run, and from then on from
    /// every call on the device; any error of the device.
    pub fn verify(&self) -> Result<()> {
        self.unverified.verify(&self.ready.gpu)
    }

    /// [`Bound::verify`] for async callers. On native backends, the future polls the device
    /// whenever it is polled.
    ///
    /// # Errors
    /// As [`Bound::verify`].
    pub async fn verify_async(&self) -> Result<()> {
        self.unverified.verify_async(&self.ready.gpu).await
    }
}

impl Ready {
    /// Encodes one segment as one compute pass, or several with copies between them. `first` is the
    /// index of its first dispatch.
    fn encode(
        &self,
        segment: usize,
        first: usize,
        groups: &[BindGroup],
        encoder: &mut CommandEncoder,
        path: &mut Path,
    ) -> usize {
        let behind = first
            + self.recording.segments[segment]
                .steps
                .iter()
                .map(|step| step.dispatches.len())
                .sum::<usize>();
        for run in self.passes(first..behind) {
            self.copy_textures(run.start, encoder, path);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            run.for_each(|at| self.launch(at, groups, &mut pass));
            path.computed(&mut pass);
        }
        self.carry(segment, encoder, path);
        behind
    }

    /// Splits the dispatches of a segment into runs that fit one pass each: copies into textures
    /// separate them.
    pub(super) fn passes(&self, dispatches: Range<usize>) -> Vec<Range<usize>> {
        let mut starts: Vec<usize> = self.copies.iter().map(|copy| copy.before).collect();
        starts.retain(|at| *at > dispatches.start && *at < dispatches.end);
        starts.dedup();
        let (mut runs, mut from) = (Vec::with_capacity(starts.len() + 1), dispatches.start);
        for to in starts.into_iter().chain([dispatches.end]) {
            runs.push(from..to);
            from = to;
        }
        runs
    }

    /// How many sections of copies a run has at most: before a pass, after a segment, and to fill
    /// the input.
    pub(super) fn copy_sections(&self) -> usize {
        self.copies.len() + self.updates.len() + 1
    }

    /// Encodes the copies of tensors into textures before a dispatch.
    pub(super) fn copy_textures(
        &self,
        before: usize,
        encoder: &mut CommandEncoder,
        path: &mut Path,
    ) {
        let mut copies = self.copies.iter().filter(|copy| copy.before == before).peekable();
        let any = copies.peek().is_some();
        for TextureCopy { slot, texture, .. } in copies {
            let bytes_per_row = Some(texture.width() * TEXEL_BYTES);
            let layout = TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
            let source = TexelCopyBufferInfo { buffer: &self.slots[*slot], layout };
            encoder.copy_buffer_to_texture(source, texture.as_image_copy(), texture.size());
        }
        if any {
            path.copied(encoder);
        }
    }

    /// Encodes the updates after a segment: copies of tensors that it wrote to their variables.
    pub(super) fn carry(&self, segment: usize, encoder: &mut CommandEncoder, path: &mut Path) {
        let mut updates = self.updates.iter().filter(|update| update.0 == segment).peekable();
        let any = updates.peek().is_some();
        for &(_, from, to, bytes) in updates {
            encoder.copy_buffer_to_buffer(&self.slots[from], 0, &self.slots[to], 0, bytes);
        }
        if any {
            path.copied(encoder);
        }
    }

    /// Encodes the dispatch with this index.
    pub(super) fn launch(&self, at: usize, groups: &[BindGroup], pass: &mut ComputePass<'_>) {
        let Launch { pipeline, workgroups: [x, y, z], .. } = &self.launches[at];
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &groups[at], &[]);
        pass.dispatch_workgroups(*x, *y, *z);
    }

    /// One command buffer per segment. If the recording `ends` with the last of them, the number of
    /// the run stays in its word.
    pub(super) fn command_buffers(
        &self,
        groups: &[BindGroup],
        path: &mut Path,
        ends: bool,
    ) -> Vec<CommandBuffer> {
        let (mut first, count) = (0, self.recording.segments.len());
        let record = |segment: usize| {
            let first_step = self.recording.segments[segment].steps.first();
            let label = first_step.map(|recorded| recorded.step.module.as_str());
            let descriptor = wgpu::CommandEncoderDescriptor { label };
            let mut encoder = self.gpu.inner.device.create_command_encoder(&descriptor);
            first = self.encode(segment, first, groups, &mut encoder, path);
            if ends && segment + 1 == count {
                path.end(&mut encoder);
            }
            encoder.finish()
        };
        (0..count).map(record).collect()
    }
}
