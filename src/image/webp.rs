//! WebP: finds the metadata in the file's chunks. The decoder would allocate memory for the length
//! of a chunk without a check.

/// EXIF and XMP of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata<'a> {
    pub exif: Option<&'a [u8]>,
    pub xmp: Option<&'a [u8]>,
}

/// The metadata of a file. Of several chunks with the same name, the first counts. The error is the
/// message to report: a chunk of metadata extends beyond the end of the file.
pub(super) fn metadata(bytes: &[u8]) -> Result<Metadata<'_>, String> {
    /// `RIFF`, its length, and `WEBP`.
    const HEADER: usize = 12;
    let mut found = Metadata::default();
    // Only files that begin with this chunk have metadata.
    if bytes.get(HEADER..HEADER + 4) != Some(b"VP8X") {
        return Ok(found);
    }
    let end = bytes.get(4..8).and_then(length).unwrap_or(0).saturating_add(8).min(bytes.len());
    let mut at = HEADER;
    while let Some((name, rest)) = bytes[..end].get(at..).and_then(|it| it.split_first_chunk::<4>())
        && let Some(length) = length(rest)
    {
        let start = at + 8;
        let chunk = start.checked_add(length).and_then(|stop| bytes.get(start..stop));
        let is_metadata = matches!(name, b"EXIF" | b"XMP " | b"ICCP");
        if is_metadata && chunk.is_none() {
            let (name, all) = (name.escape_ascii().to_string(), bytes.len());
            return Err(format!(
                "its chunk {} at byte {at} has {length} bytes, but the file has {all}",
                name.trim_end()
            ));
        }
        match name {
            b"EXIF" => found.exif = found.exif.or(chunk),
            b"XMP " => found.xmp = found.xmp.or(chunk),
            _ => {}
        }
        // Chunks begin at even bytes.
        let next = length.checked_next_multiple_of(2).and_then(|it| start.checked_add(it));
        let Some(next) = next else { break };
        at = next;
    }
    Ok(found)
}

/// The length in the first four bytes.
fn length(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these chunks, after the chunk of the extended format.
    fn file(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (name, length, data) in [(b"VP8X", 10, &[0; 10][..])].iter().chain(chunks) {
            body.extend([&name[..], &length.to_le_bytes(), data].concat());
            body.resize(body.len().next_multiple_of(2), 0);
        }
        [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
    }

    #[test]
    fn metadata_is_found_within_the_file_only() {
        let whole = file(&[
            (b"ICCP", 1, b"p"),
            (b"VP8L", 5, b"image"),
            (b"EXIF", 3, b"one"),
            (b"EXIF", 3, b"two"),
            (b"XMP ", 4, b"text"),
        ]);
        let expected = Metadata { exif: Some(b"one"), xmp: Some(b"text") };
        assert_eq!(metadata(&whole), Ok(expected));
        // The decoder reports an image that ends early.
        assert_eq!(metadata(&file(&[(b"VP8L", 99, b"image")])), Ok(Metadata::default()));
        for (name, length) in [(b"EXIF", u32::MAX), (b"XMP ", 5), (b"ICCP", 0xffff_0000)] {
            let bytes = file(&[(b"VP8L", 5, b"image"), (name, length, b"four")]);
            let error = metadata(&bytes);
            let named = String::from_utf8_lossy(name).trim_end().to_owned();
            let said = error.err().unwrap_or_default();
            assert!(said.contains(&format!("chunk {named} at byte 44 has {length}")), "{said}");
        }
        for length in 0..whole.len() {
            let _ = metadata(&whole[..length]);
        }
        // Bytes after the end are ignored.
        let more = [&file(&[])[..], b"EXIF\xff\xff\xff\xff"].concat();
        assert_eq!(metadata(&more), Ok(Metadata::default()));
    }
}
