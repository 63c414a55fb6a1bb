//! The position of an image in a network's input.

use std::num::NonZeroU64;

use wgpu::{BindingResource, Buffer, BufferBinding, BufferUsages};

use crate::error::{GpuError, Result};
use crate::gpu::Gpu;

/// An image within an input buffer, as bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    offset: u64,
    bytes: u64,
    /// Pixels of the binding before the image.
    pub out_at: u32,
}

impl Target {
    /// The range of image number `image` within an input buffer, with images of this many bytes.
    ///
    /// # Errors
    /// [`GpuError::Buffer`], [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, input: &Buffer, image: usize, bytes: u64) -> Result<Self> {
        let refuse = |reason| Err(GpuError::Buffer { buffer: "input", reason }.into());
        let start = bytes.checked_mul(image as u64);
        let Some(start) =
            start.filter(|start| start.checked_add(bytes).is_some_and(|end| end <= input.size()))
        else {
            let size = input.size();
            return refuse(format!(
                "expected room for image {image} at {bytes} bytes an image, found {size} bytes"
            ));
        };
        if !input.usage().contains(BufferUsages::STORAGE) {
            return refuse(format!("expected usage STORAGE, found {:?}", input.usage()));
        }
        // A binding begins at a multiple of this, a power of two of at least 32; so between it and
        // the image lie whole pixels.
        let before =
            start % u64::from(gpu.inner.device.limits().min_storage_buffer_offset_alignment);
        let (bound, limit) = (before + bytes, gpu.capabilities().max_binding_bytes);
        if bound > limit {
            return Err(GpuError::TooLarge {
                what: "an image of the input".to_owned(),
                bytes: bound,
                limit,
            }
            .into());
        }
        Ok(Self { offset: start - before, bytes: bound, out_at: (before / 16) as u32 })
    }

    /// The binding of the image.
    pub fn resource<'b>(&self, buffer: &'b Buffer) -> BindingResource<'b> {
        BindingResource::Buffer(BufferBinding {
            buffer,
            offset: self.offset,
            size: NonZeroU64::new(self.bytes),
        })
    }
}
