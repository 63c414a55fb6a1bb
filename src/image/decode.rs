//! Decodes a file to an [`Image`], like Pillow's `open`, `ImageOps.exif_transpose` and
//! `convert("RGB")`.
//!
//! Alpha is dropped, not blended. Of sixteen bits per channel, the lower eight are dropped, except
//! that grey images of more than eight bits are clamped at 255, as in Pillow. Lossless formats give
//! the same bytes as Pillow; decoders of JPEG and lossy WebP differ from Pillow's by a few levels
//! (see `tests/images.rs` for the bounds). Only the first frame of an animation is read; if it does
//! not fill the image, the file is rejected, since programs fill the rest differently.

use std::io::{BufRead, BufReader, Cursor, Read as _, Seek};
use std::path::Path;

use image::error::ImageError as DecoderError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::checks::{caught, check_memory, check_size, one_line};
use super::tiff::{Tiff, without_alpha};
use super::tiff_tags::Tags;
use super::{
    Image, MAX_PIXELS, bmp, file, format, gif, jpeg, orientation, png, pnm, tiff_grey, webp,
};
use crate::error::{Error, ImageError};

/// Maximum size of an image file in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Number of bytes used to recognise formats.
const FIRST_BYTES: u64 = 64;

/// Maximum bytes that a decoder may allocate: 16 bits for each of four channels of the largest
/// image, and the same again.
const MAX_DECODER_BYTES: u64 = 2 * 8 * MAX_PIXELS;

impl Image {
    /// Reads an image file: PNG, JPEG, WebP, GIF, BMP, TIFF, PNM (PBM, PGM, PPM) or QOI, recognised
    /// by its first bytes. The image is rotated upright by its EXIF orientation, or by its XMP
    /// orientation if EXIF has none. It is then converted to RGB.
    ///
    /// A panic of a decoder is caught and returned as an error. The app's panic hook runs before
    /// that. With `panic = "abort"` no panic can be caught.
    ///
    /// # Errors
    /// [`Error::Io`]; an [`ImageError`] that names the file, if it is not a regular file, not an
    /// image, damaged, truncated, too large, or a GIF whose first frame does not fill it, or if
    /// there is not enough memory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Ok(read(&path.display().to_string(), &file::read(path, "a file", MAX_FILE_BYTES)?)?)
    }

    /// Approximate maximum memory in bytes that [`Image::open`] needs for this file, including
    /// the file and the image: for programs that decode several at once. Reads only the file's
    /// header.
    ///
    /// # Errors
    /// As [`Image::open`], for errors that the header shows.
    pub fn decoding_bytes(path: impl AsRef<Path>) -> Result<u64, Error> {
        let path = path.as_ref();
        let (file, length) = file::open(path, "a file", MAX_FILE_BYTES)?;
        let io = |source| Error::Io { path: path.to_owned(), source };
        let (name, mut file) = (path.display().to_string(), BufReader::new(file));
        let mut first = Vec::new();
        file.by_ref().take(FIRST_BYTES).read_to_end(&mut first).map_err(io)?;
        file.rewind().map_err(io)?;
        let decoding = caught(&name, || decoding_bytes(&name, &first, file, length))?;
        Ok(length.saturating_add(decoding))
    }

    /// [`Image::open`] for the bytes of a file.
    ///
    /// # Errors
    /// [`ImageError`] as for [`Image::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        read("image", bytes)
    }
}

/// Decodes a file's bytes; `name` is for errors.
fn read(name: &str, bytes: &[u8]) -> Result<Image, ImageError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let (image, bytes) = (name.to_owned(), bytes.len() as u64);
        return Err(ImageError::TooManyBytes {
            image,
            what: "a file",
            bytes,
            limit: MAX_FILE_BYTES,
        });
    }
    if bytes.is_empty() {
        let reason = "the file is empty".to_owned();
        return Err(ImageError::Format { image: name.to_owned(), reason });
    }
    caught(name, || {
        let format = format::recognise(name, bytes)?;
        let (decoded, orientation) = match format {
            ImageFormat::Jpeg => jpeg::decode(name, bytes)?,
            ImageFormat::Pnm => (pnm::decode(name, bytes)?, Orientation::NoTransforms),
            format => decode(name, bytes, format)?,
        };
        let mut upright = DynamicImage::ImageRgb8(decoded);
        upright.apply_orientation(orientation);
        let (width, height) = (upright.width(), upright.height());
        Image::new(width, height, upright.into_rgb8().into_raw())
    })
}

/// Approximate bytes that decoding needs in addition to the file of this length, which begins with
/// `first`.
fn decoding_bytes(
    name: &str,
    first: &[u8],
    mut file: impl BufRead + Seek,
    length: u64,
) -> Result<u64, ImageError> {
    let format = format::recognise(name, first)?;
    let damaged = |reason| ImageError::Format { image: name.to_owned(), reason };
    let start = |file: &mut dyn Seek| file.rewind().map_err(|error| damaged(one_line(&error)));
    match format {
        ImageFormat::Jpeg => return jpeg::decoding_bytes(name, file),
        ImageFormat::Pnm => return pnm::decoding_bytes(name, file),
        ImageFormat::Tiff => {
            Tags::read(&mut file).check().map_err(damaged)?;
            start(&mut file)?;
            if let Some(bytes) = tiff_grey::decoding_bytes(name, &mut file, length)? {
                return Ok(bytes);
            }
            start(&mut file)?;
        }
        _ => {}
    }
    let decoder = open_decoder(name, file, format, most_bytes(name, first, format, length)?)?;
    Ok(needed(&decoder, format))
}

/// [`decoding_bytes`] for a decoder that has read the header.
fn needed(decoder: &impl ImageDecoder, format: ImageFormat) -> u64 {
    // The decoded pixels, twice if the decoder copies them, and the RGB made of them.
    let copies = if matches!(format, ImageFormat::Tiff | ImageFormat::WebP) { 2 } else { 1 };
    let (width, height) = decoder.dimensions();
    copies * decoder.total_bytes() + 3 * u64::from(width) * u64::from(height)
}

/// The maximum number of bytes that the decoder of a file may allocate.
fn most_bytes(
    name: &str,
    first: &[u8],
    format: ImageFormat,
    length: u64,
) -> Result<u64, ImageError> {
    match format {
        ImageFormat::Png => png::most_bytes(name, first, length),
        _ => Ok(MAX_DECODER_BYTES),
    }
}

/// The decoder of any format but JPEG and PNM, after reading its header and checking its size.
fn open_decoder<'a>(
    name: &'a str,
    file: impl BufRead + Seek + 'a,
    format: ImageFormat,
    most_bytes: u64,
) -> Result<impl ImageDecoder, ImageError> {
    let mut reader = ImageReader::with_format(file, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(most_bytes);
    reader.limits(limits);
    let refuse = |error: DecoderError| ImageError::Format {
        image: name.to_owned(),
        reason: one_line(&error),
    };
    let decoder = reader.into_decoder().map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    check_size(name, width, height)?;
    Ok(decoder)
}

/// Decodes any format but JPEG and PNM.
fn decode(
    name: &str,
    bytes: &[u8],
    format: ImageFormat,
) -> Result<(image::RgbImage, Orientation), ImageError> {
    let refuse = |reason| ImageError::Format { image: name.to_owned(), reason };
    let tags = match format {
        ImageFormat::Tiff => Tags::read(&mut Cursor::new(bytes)),
        _ => Tags::default(),
    };
    tags.check().map_err(refuse)?;
    if format == ImageFormat::Tiff
        && let Some(decoded) = tiff_grey::decode(name, bytes, &tags, MAX_DECODER_BYTES as usize)?
    {
        return Ok(decoded);
    }
    if format == ImageFormat::Png {
        png::check_palette(bytes).map_err(refuse)?;
    }
    let most_bytes = most_bytes(name, bytes, format, bytes.len() as u64)?;
    let mut decoder = open_decoder(name, Cursor::new(bytes), format, most_bytes)?;
    check_memory(name, needed(&decoder, format))?;
    if !matches!(
        decoder.color_type(),
        ColorType::L8
            | ColorType::La8
            | ColorType::Rgb8
            | ColorType::Rgba8
            | ColorType::L16
            | ColorType::La16
            | ColorType::Rgb16
            | ColorType::Rgba16
    ) {
        return Err(refuse(format!("pixels of type {:?} are not supported", decoder.color_type())));
    }
    if format == ImageFormat::Gif {
        gif::check_first_frame(bytes, decoder.dimensions()).map_err(refuse)?;
    }
    if format == ImageFormat::Bmp {
        bmp::check_length(bytes).map_err(refuse)?;
    }
    let tiff = match format {
        ImageFormat::Tiff => Some(Tiff::new(bytes, &tags).map_err(refuse)?),
        _ => None,
    };
    let orientation = match &tiff {
        Some(tiff) => tiff.orientation,
        None => oriented(&mut decoder, bytes, format).map_err(refuse)?,
    };
    let associated = tiff.as_ref().is_some_and(|tiff| tiff.associated);
    if let Some(tiff) = tiff
        && let Some(image) = tiff.cmyk(MAX_DECODER_BYTES as usize).map_err(refuse)?
    {
        return Ok((image, orientation));
    }
    // Its depth and kind of colour: with a transparent level the decoder gives it alpha.
    let is_grey16 = format == ImageFormat::Png && bytes.get(24..26) == Some(&[16, 0]);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| refuse(one_line(&error)))?;
    let mut image = to_rgb(image, is_grey16, associated);
    if format == ImageFormat::Bmp {
        bmp::cut_off(bytes, &mut image);
    }
    Ok((image, orientation))
}

/// The orientation of any format but TIFF, JPEG and PNM. The error is the message to report.
fn oriented(
    decoder: &mut impl ImageDecoder,
    bytes: &[u8],
    format: ImageFormat,
) -> Result<Orientation, String> {
    Ok(match format {
        ImageFormat::Png => {
            let (exif, xmp) = (decoder.exif_metadata(), decoder.xmp_metadata());
            orientation::of(exif.ok().flatten().as_deref(), xmp.ok().flatten().as_deref())
        }
        ImageFormat::WebP => {
            let webp::Metadata { exif, xmp } = webp::metadata(bytes)?;
            orientation::of(exif, xmp)
        }
        // Pillow reads no orientation from GIF files. The other formats have none.
        _ => Orientation::NoTransforms,
    })
}

/// Converts like Pillow's `convert("RGB")`, also for images stored as 16-bit grey or with
/// premultiplied alpha.
fn to_rgb(image: DynamicImage, is_grey16: bool, associated: bool) -> image::RgbImage {
    let high = |value: u16| (value >> 8) as u8;
    let grey = |value: u8| image::Rgb([value; 3]);
    let divided = |p: [u8; 4]| image::Rgb([0, 1, 2].map(|at| without_alpha(p[at], p[3])));
    match image {
        DynamicImage::ImageLuma16(pixels) => map(&pixels, |p| grey(p.0[0].min(255) as u8)),
        DynamicImage::ImageLumaA16(pixels) if is_grey16 => {
            map(&pixels, |p| grey(p.0[0].min(255) as u8))
        }
        DynamicImage::ImageLumaA16(pixels) => map(&pixels, |p| grey(high(p.0[0]))),
        DynamicImage::ImageRgb16(pixels) => map(&pixels, |p| image::Rgb(p.0.map(high))),
        DynamicImage::ImageRgba8(pixels) if associated => map(&pixels, |p| divided(p.0)),
        DynamicImage::ImageRgba16(pixels) if associated => map(&pixels, |p| divided(p.0.map(high))),
        DynamicImage::ImageRgba16(pixels) => {
            map(&pixels, |p| image::Rgb([0, 1, 2].map(|at| high(p.0[at]))))
        }
        // Eight bits: grey thrice, alpha dropped.
        other => other.into_rgb8(),
    }
}

/// Converts each pixel.
fn map<P>(
    pixels: &image::ImageBuffer<P, Vec<P::Subpixel>>,
    rgb: impl Fn(&P) -> image::Rgb<u8>,
) -> image::RgbImage
where
    P: image::Pixel,
{
    image::RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| rgb(pixels.get_pixel(x, y)))
}
