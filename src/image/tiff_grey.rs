//! TIFF with one sample per pixel that the `image` crate does not read: indices into a palette,
//! 32-bit integers and floats, and signed integers. As in Pillow, wide levels are clamped to 0
//! to 255, and their fractions are dropped.

use std::borrow::Cow;
use std::io::{Cursor, Read, Seek};

use image::RgbImage;
use image::metadata::Orientation;
use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use super::checks::{check_memory, check_size, one_line};
use super::tiff::oriented;
use super::tiff_tags::Tags;
use crate::error::ImageError;

const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

const UNSIGNED: u16 = 1;
const SIGNED: u16 = 2;
const FLOAT: u16 = 3;

/// The kind of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    photometric: u16,
    /// Bits per sample.
    bits: u16,
}

impl Kind {
    /// The kind of a TIFF; `None` if the `image` crate reads it or reports an error.
    fn of<R: Read + Seek>(decoder: &mut Decoder<R>) -> Option<Self> {
        let mut tag = |tag, default: u16| -> Option<u16> {
            let values = decoder.find_tag_unsigned_vec(tag).ok()?;
            values.map_or(Some(default), |values| values.first().copied())
        };
        let photometric = tag(Tag::PhotometricInterpretation, u16::MAX)?;
        let (bits, format) = (tag(Tag::BitsPerSample, 1)?, tag(Tag::SampleFormat, UNSIGNED)?);
        let is_one = tag(Tag::SamplesPerPixel, 1)? == 1;
        // Pillow ignores the interpretation of floats.
        let is_here = matches!(
            (photometric, format, bits),
            (PALETTE, UNSIGNED, 1 | 2 | 4 | 8)
                | (BLACK_IS_ZERO, UNSIGNED, 32)
                | (BLACK_IS_ZERO, SIGNED, 8 | 16 | 32)
                | (BLACK_IS_ZERO | WHITE_IS_ZERO, FLOAT, 32)
        );
        (is_one && is_here && tag(Tag::FillOrder, 1)? == 1).then_some(Self { photometric, bits })
    }

    /// A decoder for the file with its interpretation set to BlackIsZero. With other
    /// interpretations, the decoder does not read palettes, and inverts floats.
    fn decoder(self, bytes: &[u8]) -> Result<Decoder<Cursor<Cow<'_, [u8]>>>, TiffError> {
        let mut bytes = Cow::Borrowed(bytes);
        if self.photometric != BLACK_IS_ZERO {
            // Without the tag there would be no kind.
            let _ = set_black_is_zero(bytes.to_mut());
        }
        Decoder::new(Cursor::new(bytes))
    }
}

/// Decodes an image and its orientation; `None` for other kinds of TIFF. The decoder may allocate
/// `most` bytes.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    tags: &Tags,
    most: usize,
) -> Result<Option<(RgbImage, Orientation)>, ImageError> {
    let refuse = |reason: String| ImageError::Format { image: name.to_owned(), reason };
    let said = |error: TiffError| refuse(one_line(&error));
    let Ok(mut decoder) = Decoder::new(Cursor::new(bytes)) else { return Ok(None) };
    let Some(kind) = Kind::of(&mut decoder) else { return Ok(None) };
    let (width, height) = decoder.dimensions().map_err(said)?;
    check_size(name, width, height)?;
    check_memory(name, needed(width, height, &kind, bytes.len() as u64))?;
    let orientation = oriented(&mut decoder, tags);
    let mut limits = Limits::default();
    (limits.decoding_buffer_size, limits.intermediate_buffer_size, limits.ifd_value_size) =
        (most, most, most);
    let mut samples = DecodingResult::U8(Vec::new());
    let palette = match kind.photometric {
        PALETTE => Some(palette(&mut decoder, kind.bits).map_err(refuse)?),
        _ => None,
    };
    let mut decoder = kind.decoder(bytes).map_err(said)?.with_limits(limits);
    decoder.read_image_to_buffer(&mut samples).map_err(said)?;
    let rgb = if let Some(palette) = palette {
        let DecodingResult::U8(packed) = &samples else {
            return Err(refuse("the indices into its palette are not bytes".to_owned()));
        };
        indices(packed, width, kind.bits).flat_map(|index| palette[index]).collect()
    } else {
        let levels = levels(&samples)
            .ok_or_else(|| refuse("its samples are of an unexpected type".to_owned()))?;
        levels.into_iter().flat_map(|level| [level; 3]).collect()
    };
    let image = RgbImage::from_raw(width, height, rgb);
    let image = image.ok_or_else(|| refuse("fewer pixels than its header declares".to_owned()))?;
    Ok(Some((image, orientation)))
}

/// Approximate bytes for the samples, the image and the copy of a file of this length; `None` for
/// other kinds of TIFF.
pub(super) fn decoding_bytes(
    name: &str,
    file: impl Read + Seek,
    length: u64,
) -> Result<Option<u64>, ImageError> {
    let Ok(mut decoder) = Decoder::new(file) else { return Ok(None) };
    let Some(kind) = Kind::of(&mut decoder) else { return Ok(None) };
    let Ok((width, height)) = decoder.dimensions() else { return Ok(None) };
    check_size(name, width, height)?;
    Ok(Some(needed(width, height, &kind, length)))
}

/// [`decoding_bytes`] for a size and a kind.
fn needed(width: u32, height: u32, kind: &Kind, length: u64) -> u64 {
    let (pixels, bits) = (u64::from(width) * u64::from(height), u64::from(kind.bits));
    length + (pixels * bits).div_ceil(8) + 4 * pixels
}

/// Sets the interpretation in the first directory to BlackIsZero; `None` if it has none.
fn set_black_is_zero(bytes: &mut [u8]) -> Option<()> {
    const PHOTOMETRIC: u16 = 262;
    const SHORT: u16 = 3;
    let is_little = bytes.starts_with(b"II");
    let short = |bytes: &[u8], at: usize| -> Option<u16> {
        let value = *bytes.get(at..)?.first_chunk()?;
        Some(if is_little { u16::from_le_bytes(value) } else { u16::from_be_bytes(value) })
    };
    let offset = *bytes.get(4..)?.first_chunk()?;
    let directory = if is_little { u32::from_le_bytes(offset) } else { u32::from_be_bytes(offset) };
    let directory = directory as usize;
    let mut entries =
        (0..usize::from(short(bytes, directory)?)).map(|entry| directory + 2 + 12 * entry);
    let entry = entries.find(|&at| short(bytes, at) == Some(PHOTOMETRIC))?;
    let size = if short(bytes, entry + 2) == Some(SHORT) { 2 } else { 4 };
    let value = bytes.get_mut(entry + 8..entry + 8 + size)?;
    value.fill(0);
    value[if is_little { 0 } else { size - 1 }] = 1;
    Some(())
}

/// The colours of the palette. Pillow drops the lower eight bits.
fn palette<R: Read + Seek>(decoder: &mut Decoder<R>, bits: u16) -> Result<Vec<[u8; 3]>, String> {
    let values: Option<Vec<u16>> =
        decoder.find_tag_unsigned_vec(Tag::ColorMap).map_err(|error| one_line(&error))?;
    let values = values.unwrap_or_default();
    let colours = 1 << bits;
    if values.len() != 3 * colours {
        return Err(format!(
            "its palette has {} values, expected {} for {bits} bits",
            values.len(),
            3 * colours
        ));
    }
    let channel = |channel: usize, at: usize| (values[channel * colours + at] >> 8) as u8;
    Ok((0..colours).map(|at| [0, 1, 2].map(|c| channel(c, at))).collect())
}

/// The indices of pixels, the first one in the highest bits of its byte. Rows begin with a byte.
fn indices(packed: &[u8], width: u32, bits: u16) -> impl Iterator<Item = usize> {
    let (width, bits) = (width as usize, usize::from(bits));
    let per_byte = 8 / bits;
    packed.chunks_exact(width.div_ceil(per_byte)).flat_map(move |row| {
        (0..width).map(move |x| {
            let shift = 8 - bits * (x % per_byte + 1);
            usize::from(row[x / per_byte] >> shift) & ((1 << bits) - 1)
        })
    })
}

/// Converts samples to levels from 0 to 255.
fn levels(samples: &DecodingResult) -> Option<Vec<u8>> {
    let clamped = |value: i32| value.clamp(0, 255) as u8;
    Some(match samples {
        // As unsigned, like Pillow.
        DecodingResult::I8(values) => values.iter().map(|&value| value as u8).collect(),
        DecodingResult::I16(values) => values.iter().map(|&value| clamped(value.into())).collect(),
        DecodingResult::I32(values) => values.iter().map(|&value| clamped(value)).collect(),
        // Pillow reads them as signed.
        DecodingResult::U32(values) => values.iter().map(|&value| clamped(value as i32)).collect(),
        // Drops the fraction and clamps; NaN is 0.
        DecodingResult::F32(values) => values.iter().map(|&value| value as u8).collect(),
        _ => return None,
    })
}
