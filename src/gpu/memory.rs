//! Buffers and textures: checks the limits before allocating.

use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, CommandEncoderDescriptor, Extent3d,
    TexelCopyBufferLayout, Texture, TextureDescriptor, TextureDimension, TextureUsages,
    TextureView, TextureViewDescriptor,
};

use super::Gpu;
use super::proof::{NUMBER_BYTES, PAGE};
use super::texels::{TEXEL_BYTES, TEXELS};
use crate::error::GpuError;

/// The bit pattern of guard bands and poisoned tensors: a NaN that no kernel produces, or two of
/// them in half precision. Each tensor has a different one, because sums keep the payload of a NaN:
/// a value read beyond one tensor and written beyond another must not look unchanged.
pub(super) const fn poison_word(tensor: usize) -> u32 {
    0x7fc0_7ead ^ (tensor as u32 & 0xff)
}

impl Gpu {
    /// A buffer of at least `bytes`, zeroed.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] beyond the limit of a storage binding, [`GpuError::OutOfMemory`].
    pub(super) fn buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<Buffer, GpuError> {
        self.new_buffer(what, [bytes, 0], usage, false)
    }

    /// [`Gpu::buffer`], mapped: the host must write it before any other use.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn mapped_buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<Buffer, GpuError> {
        self.new_buffer(what, [bytes, 0], usage, true)
    }

    /// A buffer for reading back this many bytes, and behind them the number of the run. It ends
    /// with a page, so that the number does not move the buffers behind it off their pages
    /// (`proof_buffers.rs`).
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn staging_buffer(&self, bytes: u64) -> Result<Buffer, GpuError> {
        let usage = BufferUsages::COPY_DST | BufferUsages::MAP_READ;
        let whole = (bytes + NUMBER_BYTES).next_multiple_of(PAGE);
        self.new_buffer("staging", [bytes, whole - bytes], usage, false)
    }

    /// The limit does not apply to the bytes `behind` the contents.
    fn new_buffer(
        &self,
        what: &str,
        [bytes, behind]: [u64; 2],
        usage: BufferUsages,
        mapped: bool,
    ) -> Result<Buffer, GpuError> {
        let limit = self.capabilities().max_binding_bytes;
        if bytes > limit {
            return Err(GpuError::TooLarge { what: what.to_owned(), bytes, limit });
        }
        let inner = &self.inner;
        inner.monitor.guarded(&inner.device, "allocating a buffer", || {
            // wgpu copies and maps in multiples of four bytes, and a binding must not be empty.
            let size = (bytes + behind).max(16).next_multiple_of(4);
            inner.device.create_buffer(&BufferDescriptor {
                label: Some(what),
                size,
                usage,
                mapped_at_creation: mapped,
            })
        })
    }

    /// A buffer with these contents.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn buffer_with(
        &self,
        what: &str,
        contents: &[u8],
        usage: BufferUsages,
    ) -> Result<Buffer, GpuError> {
        let buffer = self.buffer(what, contents.len() as u64, usage | BufferUsages::COPY_DST)?;
        let inner = &self.inner;
        inner.monitor.guarded(&inner.device, "uploading", || {
            inner.queue.write_buffer(&buffer, 0, contents)
        })?;
        Ok(buffer)
    }
}

/// Device memory of an [`Executor`](super::Executor), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Weights and biases, packed for the kernels.
    pub weights: u64,
    /// The bytes by which transformed weights exceed the original ones; part of `weights`.
    pub extra_weights: u64,
    /// Tensors between the operations.
    pub workspace: u64,
    /// The parameters of every dispatch.
    pub params: u64,
    /// The input, if the executor allocates it ([`Executor::run`](super::Executor::run)).
    pub input: u64,
    /// The output, if the executor allocates it.
    pub output: u64,
    /// Staging memory to upload the input and read back the output, if the executor allocates it.
    /// Reading a fetched tensor temporarily needs its size in addition.
    pub staging: u64,
}

impl Memory {
    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights + self.without_weights()
    }

    /// The sum of all but the weights.
    #[must_use]
    pub fn without_weights(&self) -> u64 {
        self.workspace + self.params + self.input + self.output + self.staging
    }
}

impl Gpu {
    /// A new encoder.
    pub(super) fn encoder(&self, label: &str) -> Result<CommandEncoder, GpuError> {
        let inner = &self.inner;
        let descriptor = CommandEncoderDescriptor { label: Some(label) };
        let create = || inner.device.create_command_encoder(&descriptor);
        inner.monitor.guarded(&inner.device, "recording", create)
    }

    /// A texture with these values, four per texel, row by row, padded with zeros.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`], or any error of the device. Weights beyond the device's texture
    /// size do not occur: no texture kernels are chosen for them.
    pub(super) fn texture_with(
        &self,
        what: &str,
        mut values: Vec<f32>,
        size: [u32; 2],
    ) -> Result<TextureView, GpuError> {
        let inner = &self.inner;
        let [width, height] = size;
        values.resize(width as usize * height as usize * 4, 0.0);
        let texture = self.texture(what, size)?;
        inner.monitor.guarded(&inner.device, "uploading", || {
            let size = Extent3d { width, height, depth_or_array_layers: 1 };
            let layout = TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(width * TEXEL_BYTES),
                rows_per_image: None,
            };
            inner.queue.write_texture(
                texture.as_image_copy(),
                bytemuck::cast_slice(&values),
                layout,
                size,
            );
            texture.create_view(&TextureViewDescriptor::default())
        })
    }

    /// A view of all of a texture.
    pub(super) fn view(&self, texture: &Texture) -> Result<TextureView, GpuError> {
        let view = || texture.create_view(&TextureViewDescriptor::default());
        self.inner.monitor.guarded(&self.inner.device, "viewing a texture", view)
    }

    /// A texture of this size in texels, for weights.
    pub(super) fn texture(
        &self,
        what: &str,
        [width, height]: [u32; 2],
    ) -> Result<Texture, GpuError> {
        let inner = &self.inner;
        inner.monitor.guarded(&inner.device, "making a texture", || {
            inner.device.create_texture(&TextureDescriptor {
                label: Some(what),
                size: Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: TextureDimension::D2,
                format: TEXELS,
                usage: TextureUsages::STORAGE_BINDING | TextureUsages::COPY_DST,
                view_formats: &[],
            })
        })
    }
}

/// The poison of a tensor, `bytes` bytes long.
pub(super) fn poison(tensor: usize, bytes: u64) -> Vec<u8> {
    poison_word(tensor).to_le_bytes().repeat((bytes / 4) as usize)
}
