//! From a file to a [`Picture`], as Pillow's `open`, `ImageOps.exif_transpose` and `convert("RGB")` have it.
//!
//! Alpha is dropped, not blended with anything. Sixteen bits a channel lose the lower eight; but a grey picture of sixteen
//! bits is cut off at 255, as Pillow does it. Formats without loss give Pillow's bytes; decoders of JPEG and lossy WebP
//! differ from Pillow's by a few levels (`tests/pictures.rs` holds the bounds). Of an animation the first frame is read.

use std::io::{Cursor, Read as _};
use std::path::Path;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{MAX_PIXELS, Picture, jpeg};
use crate::error::{Error, PictureError};

/// Bytes of the largest picture file that is read.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Bytes that a decoder may allocate: 16 bits for each of four channels of the largest picture, and as much again.
const MAX_DECODER_BYTES: u64 = 2 * 8 * MAX_PIXELS;

impl Picture {
    /// Reads a picture file: PNG, JPEG, WebP, GIF, BMP or TIFF, told apart by their first bytes. Turned upright as its EXIF
    /// orientation says, and converted to RGB.
    ///
    /// # Errors
    /// [`Error::Io`]; [`PictureError`], which names the file, for one that is no picture, is damaged, ends early or is too large.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(io)?;
        // One byte more than allowed, to see that there are more; devices have no end at all.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        Ok(read(&path.display().to_string(), &bytes)?)
    }

    /// [`Picture::open`] for the bytes of a file.
    ///
    /// # Errors
    /// [`PictureError`] as for [`Picture::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PictureError> {
        read("picture", bytes)
    }
}

/// The picture of a file's bytes; `name` is for errors.
fn read(name: &str, bytes: &[u8]) -> Result<Picture, PictureError> {
    let refuse = |reason: String| PictureError::Format { picture: name.to_owned(), reason };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let (picture, bytes) = (name.to_owned(), bytes.len() as u64);
        return Err(PictureError::TooManyBytes { picture, what: "a file", bytes, limit: MAX_FILE_BYTES });
    }
    if bytes.is_empty() {
        return Err(refuse("the file is empty".to_owned()));
    }
    let (decoded, orientation) = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(name, bytes)?,
        Ok(format) => decode(name, bytes, format)?,
        Err(_) => return Err(refuse("not PNG, JPEG, WebP, GIF, BMP or TIFF".to_owned())),
    };
    let mut upright = DynamicImage::ImageRgb8(decoded);
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    Picture::new(width, height, upright.into_rgb8().into_raw())
}

/// Refuses a size before anything is allocated for it.
pub(super) fn check_size(name: &str, width: u32, height: u32) -> Result<(), PictureError> {
    let picture = || name.to_owned();
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { picture: picture(), width, height });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let (width, height) = (width.into(), height.into());
        return Err(PictureError::TooLarge { picture: picture(), width, height, limit: MAX_PIXELS, of: "pixels" });
    }
    Ok(())
}

/// Any format but JPEG.
fn decode(name: &str, bytes: &[u8], format: ImageFormat) -> Result<(image::RgbImage, Orientation), PictureError> {
    let refuse = |error: ImageError| PictureError::Format { picture: name.to_owned(), reason: one_line(&error) };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    check_size(name, width, height)?;
    // EXIF that cannot be read turns nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
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
        let reason = format!("pixels of type {:?} are not read", decoder.color_type());
        return Err(PictureError::Format { picture: name.to_owned(), reason });
    }
    Ok((to_rgb(DynamicImage::from_decoder(decoder).map_err(refuse)?), orientation))
}

/// As Pillow's `convert("RGB")`.
fn to_rgb(image: DynamicImage) -> image::RgbImage {
    let high = |value: u16| (value >> 8) as u8;
    let grey = |value: u8| image::Rgb([value; 3]);
    match image {
        DynamicImage::ImageLuma16(pixels) => map(&pixels, |p| grey(p.0[0].min(255) as u8)),
        DynamicImage::ImageLumaA16(pixels) => map(&pixels, |p| grey(high(p.0[0]))),
        DynamicImage::ImageRgb16(pixels) => map(&pixels, |p| image::Rgb(p.0.map(high))),
        DynamicImage::ImageRgba16(pixels) => map(&pixels, |p| image::Rgb([0, 1, 2].map(|at| high(p.0[at])))),
        // Eight bits: grey thrice, alpha dropped.
        other => other.into_rgb8(),
    }
}

/// Each pixel converted.
fn map<P>(pixels: &image::ImageBuffer<P, Vec<P::Subpixel>>, rgb: impl Fn(&P) -> image::Rgb<u8>) -> image::RgbImage
where
    P: image::Pixel,
{
    image::RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| rgb(pixels.get_pixel(x, y)))
}

/// A decoder's message, on one line.
pub(super) fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
