//! Sources of images: in host memory, in buffers and in textures.

use wgpu::{Buffer, BufferUsages, Texture, TextureDimension, TextureFormat, TextureUsages};

use super::kernels::Pixels;
use crate::error::{GpuError, Result};
use crate::image::{Image, check_rgb8};

/// An image, in host memory or already on the GPU.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Source<'a> {
    /// An image in host memory.
    Image(&'a Image),
    /// The bytes of an image: R, G, B, R, G, B, ... without padding between rows.
    Rgb8 {
        /// Three bytes per pixel.
        data: &'a [u8],
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A buffer with usage `STORAGE`: four bytes per pixel, of which the fourth is ignored, without
    /// padding between rows.
    Rgba8 {
        /// The buffer.
        buffer: &'a Buffer,
        /// The byte offset of the first pixel: a multiple of 4.
        offset: u64,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The first mip level of the first layer of a texture with usage `TEXTURE_BINDING` and eight
    /// bits per channel, RGBA or BGRA; alpha is ignored. The stored bytes are used: an sRGB texture
    /// is not decoded. It must have been created with the non-sRGB variant of its format among its
    /// `view_formats` ([`GpuError::ViewFormat`]). OpenGL cannot create such textures.
    Texture(&'a Texture),
}

impl<'a> From<&'a Image> for Source<'a> {
    fn from(image: &'a Image) -> Self {
        Self::Image(image)
    }
}

impl<'a> From<&'a Texture> for Source<'a> {
    fn from(texture: &'a Texture) -> Self {
        Self::Texture(texture)
    }
}

impl Source<'_> {
    /// Width and height.
    #[must_use]
    pub fn size(&self) -> [u32; 2] {
        match *self {
            Self::Image(image) => [image.width(), image.height()],
            Self::Rgb8 { width, height, .. } | Self::Rgba8 { width, height, .. } => [width, height],
            Self::Texture(texture) => [texture.width(), texture.height()],
        }
    }

    /// How its pixels are stored.
    pub(super) fn pixels(&self) -> Pixels {
        match self {
            Self::Image(_) | Self::Rgb8 { .. } => Pixels::Rgb8,
            Self::Rgba8 { .. } => Pixels::Rgba8,
            Self::Texture(_) => Pixels::Texture,
        }
    }

    /// Checks that the source matches its description.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |reason| Err(GpuError::Buffer { buffer: "image", reason }.into());
        match *self {
            // Sizes and bytes were compared when it was made.
            Self::Image(_) => Ok(()),
            Self::Rgb8 { data, width, height } => {
                Ok(check_rgb8("image", width, height, data.len())?)
            }
            Self::Rgba8 { buffer, offset, width, height } => {
                // In 128 bits, as 4 * (2^32 - 1)^2 has 66.
                let end = u128::from(offset) + 4 * u128::from(width) * u128::from(height);
                if end > u128::from(buffer.size()) {
                    return refuse(format!(
                        "expected at least {end} bytes, found {}",
                        buffer.size()
                    ));
                }
                if !offset.is_multiple_of(4) {
                    return refuse(format!(
                        "expected an offset that is a multiple of 4, found {offset}"
                    ));
                }
                if !buffer.usage().contains(BufferUsages::STORAGE) {
                    return refuse(format!("expected usage STORAGE, found {:?}", buffer.usage()));
                }
                Ok(())
            }
            Self::Texture(texture) => check_texture(texture),
        }
    }
}

fn check_texture(texture: &Texture) -> Result<()> {
    use TextureFormat::{Bgra8Unorm, Rgba8Unorm};
    let refuse = |reason| Err(GpuError::Buffer { buffer: "image", reason }.into());
    let format = texture.format();
    if !matches!(format.remove_srgb_suffix(), Rgba8Unorm | Bgra8Unorm) {
        return refuse(format!(
            "expected a texture of Rgba8Unorm or Bgra8Unorm, or these in sRGB, found {format:?}"
        ));
    }
    if texture.dimension() != TextureDimension::D2 || texture.sample_count() != 1 {
        let (dimension, samples) = (texture.dimension(), texture.sample_count());
        return refuse(format!(
            "expected a texture of 2 dimensions and 1 sample, found {dimension:?} and {samples}"
        ));
    }
    if !texture.usage().contains(TextureUsages::TEXTURE_BINDING) {
        return refuse(format!("expected usage TEXTURE_BINDING, found {:?}", texture.usage()));
    }
    Ok(())
}
