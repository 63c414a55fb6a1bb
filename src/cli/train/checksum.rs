//! The checksums of a checkpoint and of each line of an image list. A checksum is the CRC-32 of the
//! whole file or line, computed with zeros as the eight digits of the checksum. It is stored in the
//! metadata of the file, or in the object of the line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The key of the checksum.
pub const KEY: &str = "checksum";
/// The placeholder for the checksum.
pub const UNKNOWN: &str = "00000000";

/// The result of a check of a file or a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The checksum is right.
    Right,
    /// The checksum is wrong.
    Wrong {
        /// The checksum of the bytes.
        found: String,
        /// The stated checksum.
        expected: String,
    },
    /// There is no checksum, as in checkpoints of version 0.1.0.
    Missing {
        /// The keys of a file's metadata.
        keys: Vec<String>,
    },
}

/// Replaces [`UNKNOWN`] in the bytes of a safetensors file by the checksum.
pub fn write(bytes: &mut [u8]) -> io::Result<()> {
    let missing = || io::Error::other("the file to be written has no place for a checksum");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(missing)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(io::Error::other)?;
    let at = digits(rest.get(..length).ok_or_else(missing)?).ok_or_else(missing)?;
    let start = size_of::<u64>();
    fill(bytes, start + at.start..start + at.end)
}

/// The line of an object with the key [`KEY`] and the text [`UNKNOWN`], which is replaced.
pub fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    let missing = || io::Error::other("the line to be written has no place for a checksum");
    let at = digits(&line).ok_or_else(missing)?;
    fill(&mut line, at)?;
    line.push(b'\n');
    Ok(line)
}

/// The object of a line with the right checksum or without a checksum. The error is the reason.
pub fn read_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    if let Found::Wrong { found, expected } = check_line(line) {
        return Err(format!("its checksum is {found}, expected {expected}"));
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn fill(bytes: &mut [u8], at: Range<usize>) -> io::Result<()> {
    if bytes[at.clone()] != *UNKNOWN.as_bytes() {
        return Err(io::Error::other("the bytes to be written have a checksum already"));
    }
    let text = text(crc32fast::hash(bytes));
    bytes[at].copy_from_slice(text.as_bytes());
    Ok(())
}

/// Computes the checksum of a line, and compares it with the stated one.
fn check_line(line: &[u8]) -> Found {
    let Some(at) = digits(line) else { return Found::Missing { keys: Vec::new() } };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&line[..at.start]);
    hasher.update(UNKNOWN.as_bytes());
    hasher.update(&line[at.end..]);
    compare(hasher, &line[at])
}

/// Computes the checksum of a safetensors file, and compares it with the stated one.
pub fn check(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    // The stated length may be larger than the file.
    let mut header = Vec::new();
    file.by_ref().take(u64::from_le_bytes(length).min(size)).read_to_end(&mut header)?;
    let Some(at) = digits(&header) else {
        let mut texts = texts(&header);
        return Ok(match texts.remove(KEY) {
            Some(found) => {
                let expected = format!("{} digits, as `train` writes them", UNKNOWN.len());
                Found::Wrong { found, expected }
            }
            None => Found::Missing { keys: texts.into_keys().collect() },
        });
    };
    let stated = header[at.clone()].to_vec();
    header[at].copy_from_slice(UNKNOWN.as_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&header);
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hasher.update(&chunk[..read]),
        }
    }
    Ok(compare(hasher, &stated))
}

fn compare(hasher: crc32fast::Hasher, stated: &[u8]) -> Found {
    let (found, expected) = (text(hasher.finalize()), String::from_utf8_lossy(stated).into_owned());
    if found == expected { Found::Right } else { Found::Wrong { found, expected } }
}

fn text(checksum: u32) -> String {
    format!("{checksum:08x}")
}

/// The place of the digits in a header or a line. In JSON without spaces, no other text can contain
/// the pattern: quotation marks within a string are escaped, and no other text has this key.
fn digits(header: &[u8]) -> Option<Range<usize>> {
    let pattern = format!("\"{KEY}\":\"");
    let found = header.windows(pattern.len()).position(|bytes| bytes == pattern.as_bytes())?;
    let (start, end) = (found + pattern.len(), found + pattern.len() + UNKNOWN.len());
    (header.get(end) == Some(&b'"')).then_some(start..end)
}

/// The metadata in a header; empty if it cannot be read.
fn texts(header: &[u8]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<BTreeMap<String, String>>,
    }
    let header: Option<Header> = serde_json::from_slice(header).ok();
    header.and_then(|header| header.metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this metadata and one tensor of eight bytes.
    fn file(metadata: &str) -> Vec<u8> {
        let tensor = r#""x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        let header = format!("{{\"__metadata__\":{metadata},{tensor}}}");
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), b"01234567"].concat()
    }

    #[test]
    fn every_flipped_bit_is_found() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes)?;
            super::check(&path)
        };
        // The escaped key within a text is not the key.
        let mut bytes = file(r#"{"a":"\"checksum\":\"12345678\"","checksum":"00000000"}"#);
        write(&mut bytes)?;
        assert_eq!(check(&bytes)?, Found::Right);
        assert!(write(&mut bytes).is_err());
        for at in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            match check(&flipped) {
                Ok(Found::Right) => return Err(format!("bit {at} is not found").into()),
                // A damaged key is not a key of an earlier version.
                Ok(Found::Missing { keys }) => {
                    assert!(keys != ["a", "checksum"] && keys != ["a"], "bit {at}: {keys:?}");
                }
                Ok(Found::Wrong { .. }) | Err(_) => {}
            }
        }
        for length in 0..bytes.len() {
            assert!(!matches!(check(&bytes[..length]), Ok(Found::Right)), "{length} bytes");
        }
        Ok(())
    }

    #[test]
    fn files_without_a_checksum_say_so() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        std::fs::write(&path, file(r#"{"b":"1","a":"2"}"#))?;
        let keys = ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(check(&path)?, Found::Missing { keys });
        // Rewritten by another program.
        for metadata in [r#"{"checksum": "00000000"}"#, r#"{"checksum":"0"}"#] {
            std::fs::write(&path, file(metadata))?;
            assert!(matches!(check(&path)?, Found::Wrong { .. }), "{metadata}");
        }
        Ok(())
    }
}
