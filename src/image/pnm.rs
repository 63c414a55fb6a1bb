//! PNM: bitmaps (PBM), greymaps (PGM) and pixmaps (PPM), as text and binary.
//!
//! The arithmetic is Pillow's: samples are scaled from the file's largest value to 255 in f64 and
//! rounded half to even. Grey of more than eight bits is scaled to 65535 and then clamped at 255.

use std::io::BufRead;

use image::RgbImage;

use super::checks::{check_memory, check_size};
use crate::error::ImageError;

/// The maximum number of digits of a number.
const MOST_DIGITS: usize = 10;

const TOO_SHORT: &str = "the file ends before the image does";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bitmap,
    Grey,
    Rgb,
}

#[derive(Debug)]
struct Header {
    kind: Kind,
    is_text: bool,
    width: u32,
    height: u32,
    /// The value of the brightest sample; 1 for bitmaps.
    largest: u32,
}

/// Decodes an image.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let refuse = |reason: String| ImageError::Format { image: name.to_owned(), reason };
    let mut rest = bytes.iter();
    let header = Header::read(&mut rest.by_ref().copied()).map_err(refuse)?;
    let (width, height) = (header.width, header.height);
    check_size(name, width, height)?;
    let samples = rest.as_slice();
    // Before anything is allocated.
    if samples.len() < header.least_bytes() {
        return Err(refuse(TOO_SHORT.to_owned()));
    }
    check_memory(name, header.rgb_bytes())?;
    let rgb = match (header.kind, header.is_text) {
        (Kind::Bitmap, true) => text_bits(&header, samples),
        (Kind::Bitmap, false) => Ok(bits(&header, samples)),
        (_, true) => text_levels(&header, samples),
        (_, false) => Ok(levels(&header, samples)),
    };
    RgbImage::from_raw(width, height, rgb.map_err(refuse)?)
        .ok_or_else(|| refuse(TOO_SHORT.to_owned()))
}

/// The number of bytes of the decoded image.
pub(super) fn decoding_bytes(name: &str, file: impl BufRead) -> Result<u64, ImageError> {
    let header = Header::read(&mut file.bytes().map_while(Result::ok))
        .map_err(|reason| ImageError::Format { image: name.to_owned(), reason })?;
    check_size(name, header.width, header.height)?;
    Ok(header.rgb_bytes())
}

impl Header {
    /// The number of bytes of the decoded image.
    fn rgb_bytes(&self) -> u64 {
        3 * u64::from(self.width) * u64::from(self.height)
    }

    /// Reads the header, and one space after it. Errors are the messages to report.
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Result<Self, String> {
        let [_, digit, _] = std::array::from_fn(|_| bytes.next().unwrap_or_default());
        let kind = match digit {
            b'1' | b'4' => Kind::Bitmap,
            b'2' | b'5' => Kind::Grey,
            _ => Kind::Rgb,
        };
        let (width, height) = (number(bytes)?, number(bytes)?);
        let largest = if kind == Kind::Bitmap { 1 } else { number(bytes)? };
        if !(1..=0xffff).contains(&largest) {
            return Err(format!("its largest value is {largest}, expected 1 to 65535"));
        }
        Ok(Self { kind, is_text: digit < b'4', width, height, largest })
    }

    fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The number of samples of all pixels.
    fn samples(&self) -> usize {
        self.pixels() * if self.kind == Kind::Rgb { 3 } else { 1 }
    }

    /// The minimum number of bytes of the samples.
    fn least_bytes(&self) -> usize {
        match (self.kind, self.is_text) {
            (Kind::Bitmap, true) => self.pixels(),
            (Kind::Bitmap, false) => self.row_bytes() * self.height as usize,
            // With a space between two numbers.
            (_, true) => 2 * self.samples() - 1,
            (_, false) => self.samples() * if self.largest < 256 { 1 } else { 2 },
        }
    }

    /// The number of bytes in a row of bits.
    fn row_bytes(&self) -> usize {
        self.width.div_ceil(8) as usize
    }

    /// Converts a sample to a level from 0 to 255.
    fn level(&self, value: u32) -> u8 {
        let is_wide = self.kind == Kind::Grey && self.largest > 255;
        let white = if is_wide { 65535.0 } else { 255.0 };
        let scaled = f64::from(value) / f64::from(self.largest) * white;
        scaled.round_ties_even().min(255.0) as u8
    }

    /// Converts levels to RGB pixels.
    fn rgb(&self, levels: impl Iterator<Item = u8>) -> Vec<u8> {
        match self.kind {
            Kind::Rgb => levels.collect(),
            Kind::Bitmap | Kind::Grey => levels.flat_map(|level| [level; 3]).collect(),
        }
    }
}

/// The next number of the header. A comment does not end a number.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Result<u32, String> {
    let mut digits = String::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' => skip_comment(bytes),
            b'0'..=b'9' if digits.len() < MOST_DIGITS => digits.push(byte.into()),
            b'0'..=b'9' => return Err(format!("a number of more than {MOST_DIGITS} digits")),
            b' ' | b'\t'..=b'\r' if digits.is_empty() => {}
            b' ' | b'\t'..=b'\r' => break,
            other => {
                let found = char::from(other).escape_default();
                return Err(format!("expected a number in its header, found {found}"));
            }
        }
    }
    if digits.is_empty() {
        return Err("the file ends within its header".to_owned());
    }
    digits.parse().map_err(|_| format!("the number {digits} in its header is too large"))
}

fn skip_comment(bytes: &mut impl Iterator<Item = u8>) {
    while !matches!(bytes.next(), None | Some(b'\r' | b'\n')) {}
}

/// The bytes without comments. As in Pillow, a comment does not separate the bytes around it.
fn without_comments(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = bytes.iter().copied();
    std::iter::from_fn(move || {
        loop {
            match bytes.next()? {
                b'#' => skip_comment(&mut bytes),
                byte => return Some(byte),
            }
        }
    })
}

/// One bit per pixel: 1 is black.
fn bits(header: &Header, bytes: &[u8]) -> Vec<u8> {
    let width = header.width as usize;
    let rows = bytes.chunks_exact(header.row_bytes()).take(header.height as usize);
    let level = |row: &[u8], x: usize| if row[x / 8] << (x % 8) & 0x80 == 0 { 255 } else { 0 };
    header.rgb(rows.flat_map(|row| (0..width).map(move |x| level(row, x))))
}

/// One digit per pixel, with or without spaces.
fn text_bits(header: &Header, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut rgb = Vec::with_capacity(3 * header.pixels());
    for byte in without_comments(bytes) {
        match byte {
            b'0' => rgb.extend([255; 3]),
            b'1' => rgb.extend([0; 3]),
            b' ' | b'\t'..=b'\r' => {}
            other => {
                let found = char::from(other).escape_default();
                return Err(format!("expected 0 or 1 as a pixel, found {found}"));
            }
        }
        if rgb.len() == 3 * header.pixels() {
            return Ok(rgb);
        }
    }
    Err(TOO_SHORT.to_owned())
}

/// One byte per sample, or two bytes in big-endian order.
fn levels(header: &Header, bytes: &[u8]) -> Vec<u8> {
    let table: Vec<u8> = (0..=0xffff).map(|value| header.level(value)).collect();
    let level = |value: u16| table[usize::from(value)];
    match header.largest {
        ..256 => header.rgb(bytes.iter().map(|&byte| level(byte.into())).take(header.samples())),
        _ => {
            let values = bytes.as_chunks().0.iter().map(|&pair| level(u16::from_be_bytes(pair)));
            header.rgb(values.take(header.samples()))
        }
    }
}

/// Decimal numbers with spaces between them.
fn text_levels(header: &Header, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut levels = Vec::with_capacity(header.samples());
    let mut digits = String::new();
    // A space ends the last number if the file does.
    for byte in without_comments(bytes).chain([b' ']) {
        match byte {
            b'0'..=b'9' if digits.len() < MOST_DIGITS => digits.push(byte.into()),
            b'0'..=b'9' => return Err(format!("a sample of more than {MOST_DIGITS} digits")),
            b' ' | b'\t'..=b'\r' if digits.is_empty() => {}
            b' ' | b'\t'..=b'\r' => {
                let value = digits.parse().ok().filter(|&value: &u32| value <= header.largest);
                let Some(value) = value else {
                    let largest = header.largest;
                    return Err(format!("a sample is {digits}, expected at most {largest}"));
                };
                levels.push(header.level(value));
                digits.clear();
            }
            other => {
                let found = char::from(other).escape_default();
                return Err(format!("expected a number as a sample, found {found}"));
            }
        }
        if levels.len() == header.samples() {
            return Ok(header.rgb(levels.into_iter()));
        }
    }
    Err(TOO_SHORT.to_owned())
}
