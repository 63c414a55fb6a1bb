//! Identifies files that are no checkpoint by their first bytes, so that an error can say what they
//! are and what to do.

/// The last bytes of the index of a TensorFlow checkpoint, which is a LevelDB table.
const LEVELDB: [u8; 8] = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];

/// What a file is that is neither safetensors nor written by `torch.save`, from its first bytes;
/// `None` if they do not tell.
pub(super) fn identify(start: &[u8]) -> Option<&'static str> {
    let signatures: [(&[u8], &'static str); 19] = [
        (
            b"version https://git-lfs",
            "a Git LFS pointer, not the file itself: run `git lfs pull` in its repository",
        ),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras); convert the weights to safetensors"),
        (b"\x1f\x8b", "gzip; unpack it first: gunzip < FILE > NEW"),
        (b"BZh", "bzip2; unpack it first"),
        (b"\xfd7zXZ\0", "xz; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "zstd; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
        (b"Rar!", "a RAR archive; unpack it first"),
        (b"\x93NUMPY", "a NumPy array (.npy), not a state dict"),
        (b"GGUF", "GGUF, a format of language models"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"BM", "a BMP image"),
        (b"%PDF", "a PDF document"),
        (b"PAR1", "a Parquet file"),
        (b"\x7fELF", "a program"),
        (
            b"\x08\x0a\x12\x07pytorch",
            "ONNX; export the state dict instead: torch.save(model.state_dict(), FILE)",
        ),
        (b"RIFF", "a WebP image or another RIFF file"),
    ];
    if start.is_empty() {
        return Some("an empty file");
    }
    if let Some((_, what)) = signatures.iter().find(|(bytes, _)| start.starts_with(bytes)) {
        return Some(what);
    }
    if start.get(4..8) == Some(b"TFL3") {
        return Some("a TensorFlow Lite model");
    }
    if is_onnx(start) {
        return Some("ONNX; export the state dict instead: torch.save(model.state_dict(), FILE)");
    }
    if start.iter().all(|byte| *byte == 0) && start.len() > 8 {
        return Some("a file that begins with zeros only: the download or the disk failed");
    }
    text(start)
}

/// As [`identify`], from the last bytes.
pub(super) fn identify_end(end: &[u8]) -> Option<&'static str> {
    end.ends_with(&LEVELDB)
        .then_some("the index of a TensorFlow checkpoint; convert the weights to safetensors")
}

/// ONNX is protobuf: field 1 is the version of its IR, field 2 the name of the producer.
fn is_onnx(start: &[u8]) -> bool {
    match start {
        [0x08, version, 0x12, length, rest @ ..] if (1..=32).contains(version) => {
            let producer = rest.get(..usize::from(*length)).unwrap_or_default();
            !producer.is_empty() && producer.iter().all(u8::is_ascii_graphic)
        }
        _ => false,
    }
}

fn text(start: &[u8]) -> Option<&'static str> {
    // A character may be cut at the end.
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if start.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    let shown = |c: char| !c.is_control() || c.is_whitespace();
    if valid.is_empty() || !valid.chars().all(shown) {
        return None;
    }
    let lower = valid.trim_start().to_lowercase();
    Some(match lower.as_str() {
        _ if lower.starts_with("<!doctype html") || lower.starts_with("<html") => {
            "an HTML page, as a server sends in place of a missing file; download it again"
        }
        _ if lower.starts_with("<?xml") => "an XML document, as a server sends for an error",
        _ if lower.starts_with('{') && lower.contains("weight_map") => {
            "the index of a checkpoint in several shards; name a file with all tensors"
        }
        _ if lower.starts_with('{')
            && lower.contains("\"metadata\"")
            && lower.contains("total_size") =>
        {
            "the index of a checkpoint in several shards; name a file with all tensors"
        }
        _ if lower.starts_with('{') || lower.starts_with('[') => "a JSON document",
        _ => "a text file",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_a_file_is() {
        let found = |start: &[u8]| identify(start).unwrap_or_default();
        assert!(found(b"").contains("empty"));
        assert!(found(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        assert!(found(b"<!DOCTYPE html>\n<html>").contains("HTML"));
        assert!(found(b"  <?xml version=\"1.0\"?>").contains("XML"));
        assert!(found(b"{\"weight_map\": {}}").contains("shards"));
        assert!(found(b"{\"error\": 1}").contains("JSON"));
        assert!(found(b"\x08\x08\x12\x03abc:").contains("ONNX"));
        assert!(found(b"\x1c\0\0\0TFL3").contains("TensorFlow Lite"));
        assert!(found(&[0; 16]).contains("zero"));
        assert!(found("gr\u{fc}n\n".as_bytes()).contains("text"));
        assert!(found(b"\x1f\x8b\x08").contains("gzip"));
        // A safetensors header of 64 bytes, a zip archive, a pickle, other bytes.
        for other in
            [&b"\x40\0\0\0\0\0\0\0{"[..], b"PK\x03\x04", b"\x80\x02}q", b"\x01\xff\xfe\xfd\xfc"]
        {
            assert_eq!(identify(other), None, "{other:?}");
        }
        assert!(identify_end(&LEVELDB).is_some());
    }
}
