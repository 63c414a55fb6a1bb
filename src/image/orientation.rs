//! The orientation of an image, like Pillow's `exif_transpose`: from EXIF, or from XMP if EXIF has
//! none.

use image::metadata::Orientation;

/// The orientation from two blocks of metadata. Unreadable metadata is ignored.
pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let in_exif = exif.and_then(Orientation::from_exif_chunk);
    in_exif.or_else(|| in_xmp(xmp?)).unwrap_or(Orientation::NoTransforms)
}

/// XMP is not parsed: Pillow looks for `tiff:Orientation="6"` or `tiff:Orientation>6`.
fn in_xmp(xmp: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let digit = |at: usize| match xmp[at + NAME.len()..] {
        [b'=', b'"', digit, ..] | [b'>', digit, ..] if digit.is_ascii_digit() => Some(digit - b'0'),
        _ => None,
    };
    memchr::memmem::find_iter(xmp, NAME).find_map(digit).and_then(Orientation::from_exif)
}
