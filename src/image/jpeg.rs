//! JPEG: grey, YCbCr, RGB, and CMYK, which Adobe stores inverted; like Pillow, this treats all CMYK
//! as inverted.

use std::io::{BufRead, Seek};

use image::RgbImage;
use image::metadata::Orientation;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;
use zune_jpeg::{ImageInfo, JpegDecoder};

use super::checks::{check_memory, check_size, one_line};
use super::orientation;
use crate::error::ImageError;

/// The image and its orientation.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<(RgbImage, Orientation), ImageError> {
    let refuse = |reason: String| ImageError::Format { image: name.to_owned(), reason };
    // The decoder fills in missing data; Pillow returns an error.
    if !is_whole(bytes) {
        return Err(refuse("the file ends before the image does".to_owned()));
    }
    let options = options();
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| refuse(one_line(&error)))?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    let (width, height) = (width as u32, height as u32);
    check_size(name, width, height)?;
    check_memory(name, decoder.info().as_ref().map_or(0, needed))?;
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
    let wanted = match stored {
        // As they are stored, to be converted here as Pillow does.
        ColorSpace::Luma | ColorSpace::CMYK | ColorSpace::YCCK => stored,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let orientation =
        orientation::of(decoder.exif().map(Vec::as_slice), decoder.xmp().map(Vec::as_slice));
    let pixels = decoder.decode().map_err(|error| refuse(one_line(&error)))?;
    let rgb: Vec<u8> = match wanted {
        ColorSpace::Luma => pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
        ColorSpace::CMYK => {
            pixels.chunks_exact(4).flat_map(|p| printed([p[0], p[1], p[2]], p[3])).collect()
        }
        ColorSpace::YCCK => {
            let light = |p: &[u8]| from_ycc([p[0], p[1], p[2]]).map(|inverted| 255 - inverted);
            pixels.chunks_exact(4).flat_map(|p| printed(light(p), p[3])).collect()
        }
        _ => pixels,
    };
    let image = RgbImage::from_raw(width, height, rgb);
    let image = image.ok_or_else(|| refuse("fewer pixels than its header states".to_owned()))?;
    Ok((image, orientation))
}

/// As lenient as libjpeg; sizes are checked here.
fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
}

/// Approximate bytes needed for decoding: the samples, the image made from them, and the
/// coefficients of progressive files.
pub(super) fn decoding_bytes(name: &str, file: impl BufRead + Seek) -> Result<u64, ImageError> {
    let mut decoder = JpegDecoder::new_with_options(file, options());
    let refuse = |reason| ImageError::Format { image: name.to_owned(), reason };
    decoder.decode_headers().map_err(|error| refuse(one_line(&error)))?;
    let header = decoder.info().ok_or_else(|| refuse("it has no header".to_owned()))?;
    Ok(needed(&header))
}

/// [`decoding_bytes`] for a header.
fn needed(header: &ImageInfo) -> u64 {
    let per_sample = if header.sof.is_progressive() { 3 } else { 1 };
    u64::from(header.width)
        * u64::from(header.height)
        * (per_sample * u64::from(header.components) + 3)
}

/// Converts inverted CMYK to RGB: the light that cyan, magenta and yellow reflect, times what black
/// leaves.
pub(super) fn printed(light: [u8; 3], black: u8) -> [u8; 3] {
    // Pillow inverts them, multiplies, and takes the difference. This rounds differently from the
    // product.
    light.map(|light| {
        let product = u32::from(255 - light) * u32::from(black) + 128;
        black.saturating_sub((((product >> 8) + product) >> 8) as u8)
    })
}

/// YCbCr to RGB, in libjpeg's 16-bit fixed point.
fn from_ycc([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let half = 1 << 15;
    let fixed = |factor: f64| (factor * 65536.0 + 0.5) as i32;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fixed(1.402) * cr + half) >> 16);
    let green = y + ((-fixed(0.34414) * cb - fixed(0.71414) * cr + half) >> 16);
    let blue = y + ((fixed(1.772) * cb + half) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Whether the end marker of this image follows its scans: one of another image may follow if this
/// one is truncated. Within a scan no marker can occur by chance, and segments (such as a
/// thumbnail) are skipped by their length.
fn is_whole(bytes: &[u8]) -> bool {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    const START_OF_SCAN: u8 = 0xda;
    let (mut at, mut has_scan) = (2, false);
    while let Some(skipped) = bytes.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at += skipped;
        match bytes[at + 1..] {
            [END, ..] => return has_scan,
            [START, ..] => return false,
            // Filling.
            [0xff, ..] => at += 1,
            // No marker, and markers without a length.
            [0x00 | 0x01 | 0xd0..=0xd7, ..] => at += 2,
            [marker, high, low, ..] => {
                has_scan |= marker == START_OF_SCAN;
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
            _ => return false,
        }
    }
    false
}
