//! Features of TIFF that other formats lack: CMYK, and premultiplied alpha.

use std::io::{Cursor, Read, Seek};

use image::RgbImage;
use image::metadata::Orientation;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::checks::one_line;
use super::jpeg::printed;
use super::orientation;
use super::tiff_tags::Tags;

/// A TIFF and the contents of its tags.
pub(super) struct Tiff<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    /// Whether colours are premultiplied with alpha.
    pub associated: bool,
    pub orientation: Orientation,
    is_cmyk: bool,
}

impl<'a> Tiff<'a> {
    /// Reads the tags. Errors are the messages to report.
    pub fn new(bytes: &'a [u8], tags: &Tags) -> Result<Self, String> {
        const ASSOCIATED: u16 = 1;
        let said = |error: TiffError| one_line(&error);
        let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(said)?;
        let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(said)?;
        let associated = extra.is_some_and(|extra| extra.first() == Some(&ASSOCIATED));
        let orientation = oriented(&mut decoder, tags);
        let colours = decoder.colortype().map_err(said)?;
        if associated && matches!(colours, ColorType::GrayA(_)) {
            return Err("grey with premultiplied alpha is not supported".to_owned());
        }
        Ok(Self {
            decoder,
            associated,
            orientation,
            is_cmyk: matches!(colours, ColorType::CMYK(8 | 16)),
        })
    }

    /// The pixels of a CMYK image, in at most this many bytes; `None` for other images.
    pub fn cmyk(self, most: usize) -> Result<Option<RgbImage>, String> {
        if !self.is_cmyk {
            return Ok(None);
        }
        let said = |error: TiffError| one_line(&error);
        let mut limits = Limits::default();
        (limits.decoding_buffer_size, limits.intermediate_buffer_size, limits.ifd_value_size) =
            (most, most, most);
        let mut decoder = self.decoder.with_limits(limits);
        let (width, height) = decoder.dimensions().map_err(said)?;
        let mut read = DecodingResult::U8(Vec::new());
        let layout = decoder.read_image_to_buffer(&mut read).map_err(said)?;
        if layout.planes > 1 {
            return Err("planar CMYK is not supported".to_owned());
        }
        let light = |inks: [u8; 4]| {
            let [cyan, magenta, yellow, black] = inks.map(|ink| 255 - ink);
            printed([cyan, magenta, yellow], black)
        };
        let rgb: Vec<u8> = match &read {
            DecodingResult::U8(inks) => {
                inks.as_chunks().0.iter().flat_map(|&inks| light(inks)).collect()
            }
            DecodingResult::U16(inks) => {
                let high = |inks: &[u16; 4]| light(inks.map(|ink| (ink >> 8) as u8));
                inks.as_chunks().0.iter().flat_map(high).collect()
            }
            _ => return Err("CMYK samples other than integers are not supported".to_owned()),
        };
        let image = RgbImage::from_raw(width, height, rgb);
        image.map(Some).ok_or_else(|| "fewer pixels than its header states".to_owned())
    }
}

/// The orientation from its tag, or from its XMP if it has none. Unreadable metadata is ignored.
pub(super) fn oriented<R: Read + Seek>(decoder: &mut Decoder<R>, tags: &Tags) -> Orientation {
    const XMP: Tag = Tag::Unknown(700);
    if !tags.may_read(Tag::Orientation) {
        return Orientation::NoTransforms;
    }
    let orientation = match decoder.find_tag(Tag::Orientation) {
        Ok(None) => {
            let xmp = if tags.may_read(XMP) { decoder.find_tag(XMP).ok().flatten() } else { None };
            let xmp = xmp.and_then(|xmp| xmp.into_u8_vec().ok());
            Some(orientation::of(None, xmp.as_deref()))
        }
        Ok(Some(value)) => {
            value.into_u16().ok().and_then(|value| Orientation::from_exif(value.try_into().ok()?))
        }
        Err(_) => None,
    };
    orientation.unwrap_or(Orientation::NoTransforms)
}

/// Divides a premultiplied colour by its alpha, as Pillow does.
pub(super) fn without_alpha(colour: u8, alpha: u8) -> u8 {
    let divided = (u32::from(colour) * 255).checked_div(alpha.into()).unwrap_or(0);
    divided.min(255) as u8
}
