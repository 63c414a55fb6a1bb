//! An executor bound to buffers; records its dispatches into command buffers, one per segment.

use std::ops::Range;
use std::sync::Arc;

use wgpu::{
    BindGroup, CommandBuffer, CommandEncoder, ComputePass, TexelCopyBufferInfo,
    TexelCopyBufferLayout,
};

use super::executor_state::Ready;
use super::launches::Launch;
use super::texels::TEXEL_BYTES;
use super::workspace::TextureCopy;
use crate::error::Result;

/// An executor bound to an input and an output buffer, with its bind groups, so that it can be
/// recorded repeatedly. Shares the executor's weights and workspace, and may outlive it.
#[derive(Debug)]
pub struct Bound {
    pub(super) ready: Arc<Ready>,
    pub(super) groups: Vec<BindGroup>,
}

impl Bound {
    /// Records one command buffer per block, for the caller to submit in this order, in one submit
    /// or several.
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost), or any error of the device. If the device
    /// is lost later, wgpu drops submitted command buffers without an error:
    /// [`Gpu::wait`](super::Gpu::wait) and [`Gpu::download`](super::Gpu::download) report the loss.
    pub fn record(&self) -> Result<Vec<CommandBuffer>> {
        let inner = &self.ready.gpu.inner;
        Ok(inner
            .monitor
            .guarded(&inner.device, "recording", || self.ready.command_buffers(&self.groups))?)
    }

    /// Records every block into the caller's encoder, as one compute pass each unless textures must
    /// be filled in between. The caller owns the command buffer.
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

impl Ready {
    /// Encodes one segment as one compute pass, or several with copies between them. `first` is the
    /// index of its first dispatch.
    fn encode(
        &self,
        segment: usize,
        first: usize,
        groups: &[BindGroup],
        encoder: &mut CommandEncoder,
    ) -> usize {
        let behind = first
            + self.recording.segments[segment]
                .steps
                .iter()
                .map(|step| step.dispatches.len())
                .sum::<usize>();
        for run in self.passes(first..behind) {
            self.copy_textures(run.start, encoder);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            run.for_each(|at| self.launch(at, groups, &mut pass));
        }
        self.carry(segment, encoder);
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

    /// Encodes the copies of tensors into textures before a dispatch.
    pub(super) fn copy_textures(&self, before: usize, encoder: &mut CommandEncoder) {
        for TextureCopy { slot, texture, .. } in
            self.copies.iter().filter(|copy| copy.before == before)
        {
            let bytes_per_row = Some(texture.width() * TEXEL_BYTES);
            let layout = TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
            let source = TexelCopyBufferInfo { buffer: &self.slots[*slot], layout };
            encoder.copy_buffer_to_texture(source, texture.as_image_copy(), texture.size());
        }
    }

    /// Encodes the updates after a segment: copies of tensors that it wrote to their variables.
    pub(super) fn carry(&self, segment: usize, encoder: &mut CommandEncoder) {
        for &(block, from, to, bytes) in &self.updates {
            if block == segment {
                encoder.copy_buffer_to_buffer(&self.slots[from], 0, &self.slots[to], 0, bytes);
            }
        }
    }

    /// Encodes the dispatch with this index.
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
