//! Texels of the textures that kernels read: four f32 each.

use wgpu::TextureFormat;

/// The format of texels: four f32, `rgba32float` in the shaders.
pub(super) const TEXELS: TextureFormat = TextureFormat::Rgba32Float;

/// Bytes of a texel: four f32.
pub(super) const TEXEL_BYTES: u32 = 16;

/// Bytes of a texture of this size in texels.
pub(super) fn texture_bytes([width, height]: [u32; 2]) -> u64 {
    u64::from(width) * u64::from(height) * u64::from(TEXEL_BYTES)
}
