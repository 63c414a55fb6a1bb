//! Binds the rows of a source: in strips, if one binding cannot hold them all.

use std::num::NonZeroU64;

use wgpu::{
    BindingResource, Buffer, BufferBinding, BufferUsages, Texture, TextureFormat, TextureUsages,
    TextureView, TextureViewDescriptor, TextureViewDimension,
};

use super::passes::Passes;
use super::source::Source;
use crate::error::{GpuError, Result};
use crate::gpu::Gpu;

/// Rows of an image in one binding, and the rows that the first pass makes from them.
#[derive(Debug)]
pub(super) struct Strip<'a> {
    pub bound: Bound<'a>,
    /// The first row, counted from the top of the image.
    pub first_row: u32,
    /// Number of rows.
    pub rows: u32,
    /// Rows of the first pass's output before those made from this strip.
    pub made_at: u32,
    /// Rows that are made from it.
    pub made: u32,
    /// Rows that are bound before its first row.
    pub top: u32,
    /// What is bound before those: bytes for RGB, pixels for RGBA, nothing for a texture.
    pub skip: u32,
    /// Index of the last word of a bound buffer.
    pub last_word: u32,
}

/// The resource that is bound as a strip.
#[derive(Debug)]
pub(super) enum Bound<'a> {
    /// A buffer that we upload.
    Upload(Buffer),
    /// A range of the caller's buffer.
    Range { buffer: &'a Buffer, offset: u64, bytes: u64 },
    /// A view of the caller's texture.
    View(TextureView),
}

impl Bound<'_> {
    pub fn resource(&self) -> BindingResource<'_> {
        match self {
            Self::Upload(buffer) => buffer.as_entire_binding(),
            Self::Range { buffer, offset, bytes } => BindingResource::Buffer(BufferBinding {
                buffer,
                offset: *offset,
                size: NonZeroU64::new(*bytes),
            }),
            Self::View(view) => BindingResource::TextureView(view),
        }
    }
}

impl<'a> Source<'a> {
    /// The rows that the passes need, in strips of at most this many bytes. The source must be
    /// [checked](Self::check).
    pub(super) fn strips(
        &self,
        gpu: &Gpu,
        passes: &Passes<'_>,
        strip_bytes: u64,
    ) -> Result<Vec<Strip<'a>>> {
        let [width, _] = self.size();
        let split = |per_pixel: u64, spare: u64| {
            let per_row = u64::from(width) * per_pixel;
            match strip_bytes.saturating_sub(spare) / per_row {
                0 => {
                    let what = "a row of the image".to_owned();
                    Err(GpuError::TooLarge { what, bytes: per_row + spare, limit: strip_bytes })
                }
                rows => split(passes, u32::try_from(rows).unwrap_or(u32::MAX), per_row),
            }
        };
        match *self {
            Self::Image(image) => upload(gpu, image.data(), width, &split(3, 4)?),
            Self::Rgb8 { data, .. } => upload(gpu, data, width, &split(3, 4)?),
            Self::Rgba8 { buffer, offset, .. } => {
                let align =
                    u64::from(gpu.inner.device.limits().min_storage_buffer_offset_alignment);
                Ok(split(4, align)?
                    .iter()
                    .map(|strip| range(buffer, offset, width, strip, align))
                    .collect())
            }
            Self::Texture(texture) => Ok(vec![view(gpu, texture, passes)?]),
        }
    }
}

/// Rows of the image, and the rows that the first pass makes from them.
#[derive(Debug, Clone, Copy)]
struct StripRows {
    first_row: u32,
    rows: u32,
    made_at: u32,
    made: u32,
}

/// Splits the rows that the first pass needs into strips of at most this many rows.
fn split(passes: &Passes<'_>, per_strip: u32, per_row: u64) -> Result<Vec<StripRows>, GpuError> {
    let down = passes.down;
    if !passes.geometry.columns_first {
        // Each row becomes one row.
        let starts = (0..down.span).step_by(per_strip as usize);
        let strip = |made_at: u32| {
            let rows = per_strip.min(down.span - made_at);
            StripRows { first_row: down.first + made_at, rows, made_at, made: rows }
        };
        return Ok(starts.map(strip).collect());
    }
    // Each output row depends on several input rows, which neighbouring output rows share. A strip
    // produces the output rows for which it has all input rows.
    let mut strips: Vec<StripRows> = Vec::new();
    for made_at in 0..passes.geometry.rows.kept {
        let (first, weights) = down.of(made_at);
        let end = first + weights.len() as u32;
        match strips.last_mut() {
            Some(strip) if end - strip.first_row <= per_strip => {
                strip.rows = strip.rows.max(end - strip.first_row);
                strip.made += 1;
            }
            _ if end - first <= per_strip => {
                strips.push(StripRows { first_row: first, rows: end - first, made_at, made: 1 });
            }
            _ => {
                let (what, bytes) = (
                    "the input rows of one output row".to_owned(),
                    u64::from(end - first) * per_row,
                );
                return Err(GpuError::TooLarge {
                    what,
                    bytes,
                    limit: u64::from(per_strip) * per_row,
                });
            }
        }
    }
    Ok(strips)
}

/// Strips of RGB in separate buffers: an encoder may hold several images before it is submitted.
fn upload<'a>(gpu: &Gpu, data: &[u8], width: u32, strips: &[StripRows]) -> Result<Vec<Strip<'a>>> {
    let per_row = u64::from(width) * 3;
    let strip = |&StripRows { first_row, rows, made_at, made }: &StripRows| {
        let start = (u64::from(first_row) * per_row) as usize;
        let bytes = &data[start..][..(u64::from(rows) * per_row) as usize];
        // wgpu copies whole words, so the last word may need padding.
        let (words, rest) = bytes.split_at(bytes.len() & !3);
        let buffer = gpu.buffer(
            "image",
            bytes.len() as u64,
            BufferUsages::STORAGE | BufferUsages::COPY_DST,
        )?;
        let inner = &gpu.inner;
        inner.monitor.guarded(&inner.device, "uploading an image", || {
            inner.queue.write_buffer(&buffer, 0, words);
            if !rest.is_empty() {
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                inner.queue.write_buffer(&buffer, words.len() as u64, &last);
            }
        })?;
        let last_word = (bytes.len() as u32).div_ceil(4) - 1;
        Ok(Strip {
            bound: Bound::Upload(buffer),
            first_row,
            rows,
            made_at,
            made,
            top: 0,
            skip: 0,
            last_word,
        })
    };
    strips.iter().map(strip).collect()
}

/// A range of an RGBA buffer, starting at a valid binding offset.
fn range<'a>(
    buffer: &'a Buffer,
    offset: u64,
    width: u32,
    strip: &StripRows,
    align: u64,
) -> Strip<'a> {
    let StripRows { first_row, rows, made_at, made } = *strip;
    let per_row = u64::from(width) * 4;
    let start = offset + u64::from(first_row) * per_row;
    let skipped = start % align;
    let bytes = skipped + u64::from(rows) * per_row;
    let bound = Bound::Range { buffer, offset: start - skipped, bytes };
    let (skip, last_word) = ((skipped / 4) as u32, (bytes / 4) as u32 - 1);
    Strip { bound, first_row, rows, made_at, made, top: 0, skip, last_word }
}

/// A whole texture.
fn view<'a>(gpu: &Gpu, texture: &Texture, passes: &Passes<'_>) -> Result<Strip<'a>> {
    let inner = &gpu.inner;
    let view_in = |format: TextureFormat| {
        inner.monitor.guarded(&inner.device, "viewing an image's texture", || {
            texture.create_view(&TextureViewDescriptor {
                label: Some("image"),
                format: Some(format),
                dimension: Some(TextureViewDimension::D2),
                mip_level_count: Some(1),
                array_layer_count: Some(1),
                usage: Some(TextureUsages::TEXTURE_BINDING),
                ..Default::default()
            })
        })
    };
    let (format, stored) = (texture.format(), texture.format().remove_srgb_suffix());
    let view = match view_in(stored) {
        // wgpu does not list a texture's view formats. If a view in its own format is possible, the
        // other one lacks only the format.
        Err(GpuError::Device { .. }) if format != stored && view_in(format).is_ok() => {
            let [format, stored] = [format, stored].map(|format| format!("{format:?}"));
            return Err(GpuError::ViewFormat { format, stored }.into());
        }
        view => view?,
    };
    let (first_row, rows, [_, made]) = (passes.down.first, passes.down.span, passes.middle());
    let bound = Bound::View(view);
    Ok(Strip { bound, first_row, rows, made_at: 0, made, top: first_row, skip: 0, last_word: 0 })
}
