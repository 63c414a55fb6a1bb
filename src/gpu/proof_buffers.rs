//! Creates the buffers of a [`Proof`], and the kernel that counts its numbers up.

use std::sync::Arc;

use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferSize,
    BufferUsages,
};

use super::Gpu;
use super::pipeline::Pipeline;
use super::proof::{Every, NUMBER_BYTES, Numbers, PAGE, Proof, STRIDE, Table};
use crate::error::{GpuError, Result};
use crate::shader::{Extensions, Values, assemble};

/// The kernel's name and file.
const KERNEL: &str = "proof/count";

impl Gpu {
    /// Words for the numbers of runs with at most this many sections of copies. As many `runs` may
    /// be recorded before they are submitted.
    pub(super) fn proof(&self, copies: usize, runs: u64) -> Result<Arc<Proof>> {
        // A run in several submits must prove each of them.
        let every = self.inner.proves_every || self.capabilities().watched_rate.is_some();
        let length = if every { copies as u64 + 1 } else { 1 };
        let usage = BufferUsages::COPY_DST | BufferUsages::COPY_SRC | BufferUsages::STORAGE;
        let bytes = (length * runs * STRIDE).next_multiple_of(PAGE);
        let buffer = || self.buffer("proof", bytes, usage);
        let words = [buffer()?, buffer()?];
        let numbers = if every {
            Numbers::Counted(self.every(&words, length * runs)?)
        } else {
            let upload = |bytes: &[u8]| self.buffer_with("numbers", bytes, BufferUsages::COPY_SRC);
            Numbers::Uploaded(Table::new(upload)?)
        };
        Ok(Arc::new(Proof { words, length, numbers }))
    }

    fn every(&self, words: &[Buffer; 2], count: u64) -> Result<Every> {
        let pipeline = self.counting_pipeline()?;
        let inner = &self.inner;
        let group = |index: u64| {
            let buffer = &words[(index % 2) as usize];
            let (offset, size) = (index * STRIDE, BufferSize::new(NUMBER_BYTES));
            let resource = BindingResource::Buffer(BufferBinding { buffer, offset, size });
            inner.device.create_bind_group(&BindGroupDescriptor {
                label: Some("proof"),
                layout: &pipeline.layout,
                entries: &[BindGroupEntry { binding: 0, resource }],
            })
        };
        let groups = || (0..count).map(group).collect();
        let groups = inner.monitor.guarded(&inner.device, "binding buffers", groups)?;
        Ok(Every { pipeline, groups })
    }

    /// The kernel that counts a number up; compiled on first use, then cached.
    fn counting_pipeline(&self) -> Result<Arc<Pipeline>> {
        if let Some(pipeline) = self.inner.counting.get() {
            return Ok(pipeline.clone());
        }
        let source = assemble(KERNEL, &Values::default()).map_err(|error| GpuError::Shader {
            kernel: KERNEL.to_owned(),
            reason: error.to_string(),
        })?;
        let pipeline = Arc::new(self.compile(KERNEL, &source, Extensions::default())?);
        Ok(self.inner.counting.get_or_init(|| pipeline).clone())
    }
}
