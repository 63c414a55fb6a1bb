//! Formats that are not read, and what can be wrong with PNM and with TIFF of one sample.

use wgpu_bottleneck::error::ImageError;
use wgpu_bottleneck::image::Image;

use super::golden;
use crate::common::Outcome;

/// The error for these bytes.
fn refused(bytes: &[u8]) -> Result<String, String> {
    match Image::from_bytes(bytes) {
        Ok(image) => Err(format!("{image:?} was read from {bytes:?}")),
        Err(error @ ImageError::Format { .. }) => Ok(error.to_string()),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[test]
fn formats_that_are_not_read_are_named() -> Outcome {
    let boxed = |brands: &str| {
        let length = (brands.len() as u32 + 8).to_be_bytes();
        [&length[..], b"ftyp", brands.as_bytes(), b"\0\0\0\x08mdat"].concat()
    };
    let cases: [(&str, Vec<u8>); 31] = [
        ("AVIF", boxed("avif\0\0\0\0avifmif1miaf")),
        ("AVIF", boxed("mif1\0\0\0\0mif1avif")),
        ("HEIC", boxed("heic\0\0\0\0mif1heic")),
        ("HEIC", boxed("mif1\0\0\0\0heic")),
        ("a raw format of a camera (CR3)", boxed("crx \0\0\0\x01crx isom")),
        ("a video (MP4, MOV)", boxed("isom\0\0\x02\0isommp41")),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n\0\0".to_vec()),
        ("JPEG 2000", b"\xff\x4f\xff\x51\0".to_vec()),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n\0\0".to_vec()),
        ("JPEG XL", b"\xff\x0a\xfa".to_vec()),
        ("JPEG XR", b"II\xbc\x01".to_vec()),
        ("PSD", b"8BPS\0\x01".to_vec()),
        ("ICO", b"\0\0\x01\0\x01\0".to_vec()),
        ("CUR", b"\0\0\x02\0\x01\0".to_vec()),
        ("TGA", b"\0\0\x02\0\0\0\0\0\0\0\0\0".to_vec()),
        ("DDS", b"DDS |".to_vec()),
        ("Radiance HDR", b"#?RADIANCE\n".to_vec()),
        ("OpenEXR", b"\x76\x2f\x31\x01\x02".to_vec()),
        ("farbfeld", b"farbfeld\0\0".to_vec()),
        ("PAM", b"P7\nWIDTH 1\n".to_vec()),
        ("PFM", b"Pf\n1 1\n-1.0\n\0\0\0\0".to_vec()),
        ("BigTIFF", b"II+\0\x08\0\0\0".to_vec()),
        ("XCF", b"gimp xcf v011".to_vec()),
        ("PDF", b"%PDF-1.7".to_vec()),
        ("PostScript", b"%!PS-Adobe-3.0".to_vec()),
        ("SVG", b"<svg xmlns=".to_vec()),
        ("SVG", b"<?xml version=\"1.0\"?>\n<!-- a -->\n<svg>".to_vec()),
        ("a video (AVI)", b"RIFF\0\0\0\0AVI LIST".to_vec()),
        ("a video (Matroska, WebM)", b"\x1a\x45\xdf\xa3".to_vec()),
        ("FITS", b"SIMPLE  =                    T".to_vec()),
        ("ICNS", b"icns\0\0".to_vec()),
    ];
    for (name, bytes) in cases {
        let said = refused(&bytes)?;
        let expected = format!("it is {name}, not PNG, JPEG, WebP, GIF, BMP, TIFF, PNM or QOI; ");
        assert!(said.contains(&expected) && said.contains("convert it"), "{name}: {said}");
        // Of any length, and never with a panic.
        for length in 1..bytes.len() {
            refused(&bytes[..length])?;
        }
    }
    for unknown in [&b"P6"[..], b"P1: a text", b"P8\n1 1\n", b"<html>", b"\0\0\0\x08ftyX"] {
        let said = refused(unknown)?;
        assert!(said.ends_with(": not PNG, JPEG, WebP, GIF, BMP, TIFF, PNM or QOI"), "{said}");
    }
    Ok(())
}

#[test]
fn damaged_pnm_is_refused() -> Outcome {
    let cases: [(&[u8], &str); 17] = [
        (b"P6\n", "ends within its header"),
        (b"P6\n2 ", "ends within its header"),
        (b"P6\n2 2\n# 255\n", "ends within its header"),
        (b"P6\n2 x\n255\n", "found x"),
        (b"P5\n-2 2\n255\n", "found -"),
        (b"P5\n2 2\n0\n0000", "its largest value is 0, expected 1 to 65535"),
        (b"P5\n2 2\n65536\n0000", "its largest value is 65536"),
        (b"P5\n12345678901 2\n255\n", "more than 10 digits"),
        (b"P5\n9999999999 2\n255\n", "9999999999 in its header is too large"),
        (b"P5\n2 2\n255\n123", "ends before the image does"),
        (b"P4\n9 2\n123", "ends before the image does"),
        (b"P2\n2 2\n255\n1 2 3     ", "ends before the image does"),
        (b"P2\n2 2\n7\n1 2 3 8 ", "a sample is 8, expected at most 7"),
        (b"P2\n2 2\n7\n1 2 3 -8", "found -"),
        (b"P3\n1 1\n7\n1 2 12345678901", "more than 10 digits"),
        (b"P1\n2 2\n0 1 2 1", "expected 0 or 1 as a pixel, found 2"),
        (b"P1\n2 2\n0 1 1 # 1", "ends before the image does"),
    ];
    for (bytes, expected) in cases {
        let said = refused(bytes)?;
        assert!(said.contains(expected), "{said}, expected {expected}");
    }
    let large = Image::from_bytes(b"P5\n60000 60000\n255\n");
    assert!(matches!(large, Err(ImageError::TooLarge { width: 60_000, .. })), "{large:?}");
    let empty = Image::from_bytes(b"P5\n0 7\n255\n");
    assert!(matches!(empty, Err(ImageError::Empty { width: 0, height: 7, .. })), "{empty:?}");
    Ok(())
}

/// As in Pillow, a comment is nothing, and does not separate numbers.
#[test]
fn comments_of_pnm_are_nothing() -> Outcome {
    let pixel = |bytes: &[u8]| Image::from_bytes(bytes).map(|image| image.into_data());
    assert_eq!(pixel(b"P2 #a 9\n 1 1#b\r 25#c\n5 12#d\n3")?, [123; 3]);
    assert_eq!(pixel(b"P5 1 1 # d\n255\nA")?, *b"AAA");
    assert_eq!(pixel(b"P1\n2 1\n#1\n0#0\n1")?, [255, 255, 255, 0, 0, 0]);
    Ok(())
}

/// A little-endian TIFF of the goldens, with the value of a tag replaced.
fn with_tag(file: &str, tag: u16, value: u32) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut bytes = std::fs::read(golden::path(file))?;
    let count = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let entry =
        (0..count).map(|entry| 10 + 12 * entry).find(|&at| bytes[at..][..2] == tag.to_le_bytes());
    let entry = entry.ok_or_else(|| format!("{file} has no tag {tag}"))?;
    bytes[entry + 8..entry + 12].copy_from_slice(&value.to_le_bytes());
    Ok(bytes)
}

#[test]
fn tiff_of_one_sample_may_be_damaged() -> Outcome {
    // A palette of sixteen colours for indices of eight bits.
    let said = refused(&with_tag("palette4.tif", 258, 8)?)?;
    assert!(said.contains("its palette has 48 values, expected 768 for 8 bits"), "{said}");
    // No palette for what has none.
    let said = refused(&with_tag("int8.tif", 262, 3)?)?;
    assert!(said.contains("not a readable image"), "{said}");
    // Integers whose white is zero: Pillow does not read them.
    refused(&with_tag("int32.tif", 262, 0)?)?;
    for file in ["palette4.tif", "float.tif", "int16.tif"] {
        let large = Image::from_bytes(&with_tag(file, 256, 1 << 30)?);
        assert!(matches!(large, Err(ImageError::TooLarge { .. })), "{file}: {large:?}");
        let none = Image::from_bytes(&with_tag(file, 256, 0)?);
        assert!(none.is_err(), "{file}: {none:?}");
    }
    Ok(())
}
