//! Staging memory for uploading inputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wgpu::{Buffer, BufferUsages, MapMode};

use super::Gpu;
use crate::error::{GpuError, Result, ShapeError};
use crate::tensor::DType;

/// A buffer that the host writes and the device copies from, reused between runs. wgpu's own
/// mechanism, a staging buffer for each write, allocates new memory every time, which the system
/// maps page by page on first access: on the software driver that cost as much as the layout
/// conversion.
#[derive(Debug)]
pub(super) struct UploadStaging {
    buffer: Buffer,
    mapped: Arc<AtomicBool>,
}

impl UploadStaging {
    /// Allocates this many bytes, mapped.
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self, GpuError> {
        let buffer =
            gpu.mapped_buffer("upload", bytes, BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC)?;
        Ok(Self { buffer, mapped: Arc::new(AtomicBool::new(true)) })
    }

    /// Whether it is mapped and can be filled.
    pub fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Acquire)
    }

    /// The buffer that the device copies from.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Writes the output of `produce`, piece by piece from the start, as this element type, and
    /// unmaps the buffer. It must be mapped.
    pub fn fill(
        &self,
        gpu: &Gpu,
        dtype: DType,
        produce: impl FnOnce(&mut dyn FnMut(&[f32])) -> Result<(), ShapeError>,
    ) -> Result<()> {
        let inner = &gpu.inner;
        let mut view = match self.buffer.get_mapped_range_mut(..) {
            Ok(view) => view,
            Err(error) => {
                inner.monitor.check_alive(&inner.device)?;
                return Err(
                    GpuError::Device { doing: "uploading", reason: error.to_string() }.into()
                );
            }
        };
        let mut at = 0;
        produce(&mut |values| {
            let bytes = dtype.encode(values);
            view.slice(at..at + bytes.len()).copy_from_slice(&bytes);
            at += bytes.len();
        })?;
        drop(view);
        self.mapped.store(false, Ordering::Release);
        Ok(inner.monitor.guarded(&inner.device, "uploading", || self.buffer.unmap())?)
    }

    /// Maps the buffer again once the device has finished the submitted work.
    pub fn map_again(self, gpu: &Gpu) -> Result<Self, GpuError> {
        let (inner, mapped) = (&gpu.inner, self.mapped.clone());
        inner.monitor.guarded(&inner.device, "mapping", || {
            self.buffer.map_async(MapMode::Write, .., move |result| {
                mapped.store(result.is_ok(), Ordering::Release)
            });
        })?;
        Ok(self)
    }
}
