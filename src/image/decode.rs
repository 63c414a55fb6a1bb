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

use super::checks::{check_size, one_line};
use super::tiff::{Tiff, without_alpha};
use super::{Image, MAX_PIXELS, bmp, file, format, gif, jpeg, orientation, pnm, tiff_grey};
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
    /// # Errors
    /// [`Error::Io`]; an [`ImageError`] that names the file, if it is not a regular file, not an
    /// image, damaged, truncated, too large, or a GIF whose first frame does not fill it.
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
        let format = format::recognise(&name, &first)?;
        if format == ImageFormat::Tiff {
            if let Some(decoding) = tiff_grey::decoding_bytes(&name, &mut file, length)? {
                return Ok(length.saturating_add(decoding));
            }
            file.rewind().map_err(io)?;
        }
        let decoding = match format {
            ImageFormat::Jpeg => jpeg::decoding_bytes(&name, file)?,
            ImageFormat::Pnm => pnm::decoding_bytes(&name, file)?,
            format => {
                let decoder = open_decoder(&name, file, format)?;
                // What is decoded, twice where the decoder copies it, and the RGB made of it.
                let copies =
                    if matches!(format, ImageFormat::Tiff | ImageFormat::WebP) { 2 } else { 1 };
                let (width, height) = decoder.dimensions();
                copies * decoder.total_bytes() + 3 * u64::from(width) * u64::from(height)
            }
        };
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
    let refuse = |reason: String| ImageError::Format { image: name.to_owned(), reason };
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
        return Err(refuse("the file is empty".to_owned()));
    }
    let (decoded, orientation) = match format::recognise(name, bytes)? {
        ImageFormat::Jpeg => jpeg::decode(name, bytes)?,
        ImageFormat::Pnm => (pnm::decode(name, bytes)?, Orientation::NoTransforms),
        format => decode(name, bytes, format)?,
    };
    let mut upright = DynamicImage::ImageRgb8(decoded);
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    Image::new(width, height, upright.into_rgb8().into_raw())
}

/// The decoder of any format but JPEG and PNM, after reading its header and checking its size.
fn open_decoder<'a>(
    name: &'a str,
    file: impl BufRead + Seek + 'a,
    format: ImageFormat,
) -> Result<impl ImageDecoder, ImageError> {
    let mut reader = ImageReader::with_format(file, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
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
    if format == ImageFormat::Tiff
        && let Some(decoded) = tiff_grey::decode(name, bytes, MAX_DECODER_BYTES as usize)?
    {
        return Ok(decoded);
    }
    let mut decoder = open_decoder(name, Cursor::new(bytes), format)?;
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
    let tiff =
        if format == ImageFormat::Tiff { Some(Tiff::new(bytes).map_err(refuse)?) } else { None };
    let orientation = match &tiff {
        Some(tiff) => tiff.orientation,
        // Pillow looks for none.
        None if format == ImageFormat::Gif => Orientation::NoTransforms,
        None => {
            let (exif, xmp) =
                (decoder.exif_metadata().ok().flatten(), decoder.xmp_metadata().ok().flatten());
            orientation::of(exif.as_deref(), xmp.as_deref())
        }
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
