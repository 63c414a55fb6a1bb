//! Buffers: allocation with the limits checked first.

use wgpu::{Buffer, BufferDescriptor, BufferUsages};

use super::Gpu;
use crate::error::GpuError;

/// The bit pattern of guard bands and poisoned tensors: a NaN that no kernel makes. Each tensor has its own, because sums keep
/// the payload of a NaN: what a kernel reads behind one tensor and writes behind another must not look untouched.
pub(super) const fn poison_word(tensor: usize) -> u32 {
    0x7fc0_dead ^ ((tensor as u32 & 0xff) << 8)
}

impl Gpu {
    /// A buffer of at least `bytes`, zeroed.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] beyond the limit of a storage binding, [`GpuError::OutOfMemory`].
    pub(super) fn buffer(&self, what: &str, bytes: u64, usage: BufferUsages) -> Result<Buffer, GpuError> {
        let limit = self.capabilities().max_binding_bytes;
        if bytes > limit {
            return Err(GpuError::TooLarge { what: what.to_owned(), bytes, limit });
        }
        let inner = &self.inner;
        inner.monitor.guarded(&inner.device, "allocating a buffer", || {
            // wgpu copies and maps in steps of four bytes, and no kernel binds nothing.
            let size = bytes.max(16).next_multiple_of(4);
            inner.device.create_buffer(&BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false })
        })
    }

    /// A buffer that holds these bytes.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn buffer_with(&self, what: &str, contents: &[u8], usage: BufferUsages) -> Result<Buffer, GpuError> {
        let buffer = self.buffer(what, contents.len() as u64, usage | BufferUsages::COPY_DST)?;
        let inner = &self.inner;
        inner.monitor.guarded(&inner.device, "uploading", || inner.queue.write_buffer(&buffer, 0, contents))?;
        Ok(buffer)
    }
}

/// `bytes` bytes of a tensor's poison.
pub(super) fn poison(tensor: usize, bytes: u64) -> Vec<u8> {
    poison_word(tensor).to_le_bytes().repeat((bytes / 4) as usize)
}
