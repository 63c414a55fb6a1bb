//! Image files.

use wgpu_bottleneck::Image;

use crate::program::in_file;
use crate::targets::MIB;

/// Decodes an image, and estimates the memory that its decoding needs.
pub fn read(bytes: &[u8]) -> Vec<String> {
    let image = Image::from_bytes(bytes);
    let needed = decoding_bytes(bytes);
    let Ok(image) = image else { return Vec::new() };
    let pixels = image.width() as usize * image.height() as usize;
    assert_eq!(image.data().len(), 3 * pixels);
    assert!(needed.is_some(), "an image is read, but the memory that it needs is not known");
    vec![format!("{} x {}, {:08x}", image.width(), image.height(), crc32fast::hash(image.data()))]
}

fn decoding_bytes(bytes: &[u8]) -> Option<u64> {
    in_file(bytes, |path| Image::decoding_bytes(path).ok())
}

/// The most memory that decoding may need: what the library states before it decodes the image.
pub fn memory(bytes: &[u8]) -> usize {
    64 * MIB + 4 * bytes.len() + decoding_bytes(bytes).unwrap_or_default() as usize
}
