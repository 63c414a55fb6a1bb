//! Recognises the format of a file by its first bytes. Errors name formats that are not supported.

use image::ImageFormat;

use crate::error::ImageError;

/// The formats that are read.
const READ: &str = "PNG, JPEG, WebP, GIF, BMP, TIFF, PNM or QOI";

/// The format of a file's bytes; `name` is for errors.
pub(super) fn recognise(name: &str, bytes: &[u8]) -> Result<ImageFormat, ImageError> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Qoi, Tiff, WebP};
    match image::guess_format(bytes) {
        Ok(format @ (Png | Jpeg | WebP | Gif | Bmp | Tiff | Qoi)) => return Ok(format),
        Ok(Pnm) if is_pnm(bytes) => return Ok(Pnm),
        _ => {}
    }
    let reason = match other(bytes) {
        Some(other) => format!("it is {other}, not {READ}; convert it, for example to PNG"),
        None => format!("not {READ}"),
    };
    Err(ImageError::Format { image: name.to_owned(), reason })
}

/// Whether the bytes are PBM, PGM or PPM, and not PAM or a text that begins with P and a digit.
fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'1'..=b'6', b' ' | b'\t'..=b'\r', ..])
}

/// Formats that are not read, by their first bytes.
const OTHERS: [(&[u8], &str); 31] = [
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"8BPS", "PSD"),
    (b"gimp xcf", "XCF"),
    (b"\0\0\x01\0", "ICO"),
    (b"icns", "ICNS"),
    // Before CUR: the number of images follows, and there is at least one.
    (b"\0\0\x02\0\0\0", "TGA"),
    (b"\0\0\x03\0\0\0", "TGA"),
    (b"\0\0\x0a\0\0\0", "TGA"),
    (b"\0\0\x02\0", "CUR"),
    (b"DDS ", "DDS"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"farbfeld", "farbfeld"),
    (b"P7\n", "PAM"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"FUJIFILMCCD-RAW", "a raw format of a camera (RAF)"),
    (b"IIRO", "a raw format of a camera (ORF)"),
    (b"IIU\0", "a raw format of a camera (RW2)"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"<svg", "SVG"),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska, WebM)"),
    (b"SIMPLE  =", "FITS"),
];

/// The name of a format that is not read.
fn other(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(of_brands(bytes));
    }
    if bytes.starts_with(b"<?xml") && contains(&bytes[..bytes.len().min(1024)], b"<svg") {
        return Some("SVG");
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") {
        return Some("a video (AVI)");
    }
    OTHERS.iter().find(|(first, _)| bytes.starts_with(first)).map(|(_, name)| *name)
}

/// The format name of an ISO base media file, from the brands in its first box.
fn of_brands(bytes: &[u8]) -> &'static str {
    const HEIF: [&[u8; 4]; 10] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"];
    let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let brands = bytes.get(8..length.min(bytes.len())).unwrap_or_default();
    let has = |wanted: &[u8; 4]| brands.as_chunks().0.contains(wanted);
    if has(b"avif") || has(b"avis") {
        "AVIF"
    } else if HEIF.into_iter().any(has) {
        "HEIC"
    } else if has(b"crx ") {
        "a raw format of a camera (CR3)"
    } else {
        "a video (MP4, MOV)"
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}
