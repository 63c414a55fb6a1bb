//! The memory through which inputs go to the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wgpu::{Buffer, BufferUsages, MapMode};

use super::Gpu;
use crate::error::{GpuError, Result, ShapeError};
use crate::tensor::Element;

/// A buffer that the host writes and the device copies from, kept from run to run. wgpu's own way, a staging buffer for each
/// write, is fresh memory every time, which the system hands out page by page on the first touch: on the software driver that was
/// as dear as changing the layout.
#[derive(Debug)]
pub(super) struct UploadStaging {
    buffer: Buffer,
    mapped: Arc<AtomicBool>,
}

impl UploadStaging {
    /// Memory for as many bytes, mapped.
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self, GpuError> {
        let buffer = gpu.mapped_buffer("upload", bytes, BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC)?;
        Ok(Self { buffer, mapped: Arc::new(AtomicBool::new(true)) })
    }

    /// Whether it can be filled.
    pub fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Acquire)
    }

    /// What the device copies from.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Writes what `produce` gives, piece by piece from the start on, in this type, and hands the memory over to the device. It must be mapped.
    pub fn fill(
        &self,
        gpu: &Gpu,
        element: Element,
        produce: impl FnOnce(&mut dyn FnMut(&[f32])) -> Result<(), ShapeError>,
    ) -> Result<()> {
        let inner = &gpu.inner;
        let mut view = match self.buffer.get_mapped_range_mut(..) {
            Ok(view) => view,
            Err(error) => {
                inner.monitor.check_alive(&inner.device)?;
                return Err(GpuError::Device { doing: "uploading", reason: error.to_string() }.into());
            }
        };
        let mut at = 0;
        produce(&mut |values| {
            let bytes = element.encode(values);
            view.slice(at..at + bytes.len()).copy_from_slice(&bytes);
            at += bytes.len();
        })?;
        drop(view);
        self.mapped.store(false, Ordering::Release);
        Ok(inner.monitor.guarded(&inner.device, "uploading", || self.buffer.unmap())?)
    }

    /// Asks for the memory back, once the device has done what is submitted.
    pub fn map_again(self, gpu: &Gpu) -> Result<Self, GpuError> {
        let (inner, mapped) = (&gpu.inner, self.mapped.clone());
        inner.monitor.guarded(&inner.device, "mapping", || {
            self.buffer.map_async(MapMode::Write, .., move |result| mapped.store(result.is_ok(), Ordering::Release));
        })?;
        Ok(self)
    }
}
