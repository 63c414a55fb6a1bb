//! Writes the checksums that damaged files should have, so that a reader does not stop at them.

use std::ops::Range;

/// A little-endian number at a place.
fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes) as usize)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes).into())
}

fn write(bytes: &mut [u8], at: usize, checksum: [u8; 4]) -> Option<()> {
    bytes.get_mut(at..)?.first_chunk_mut().map(|place| *place = checksum)
}

/// The checksum of each chunk of a PNG.
pub fn png(bytes: &mut [u8]) {
    if !bytes.starts_with(b"\x89PNG") {
        return;
    }
    let mut at = 8;
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let end = at + 8 + u32::from_be_bytes(*length) as usize;
        let Some(chunk) = bytes.get(at + 4..end) else { return };
        let checksum = crc32fast::hash(chunk).to_be_bytes();
        if write(bytes, end, checksum).is_none() {
            return;
        }
        at = end + 4;
    }
}

/// The checksum of each record of a journal of `embed`. A record that reaches over the end ends
/// there.
pub fn journal(bytes: &mut [u8]) {
    let Some(mut at) = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1) else {
        return;
    };
    while let Some(length) = u32_at(bytes, at) {
        let start = at + 8;
        if start >= bytes.len() {
            return;
        }
        let end = start.saturating_add(length.max(1)).min(bytes.len());
        let length = ((end - start) as u32).to_le_bytes();
        let checksum = crc32fast::hash(&bytes[start..end]).to_le_bytes();
        if write(bytes, at, length).and_then(|()| write(bytes, at + 4, checksum)).is_none() {
            return;
        }
        at = end;
    }
}

/// The checksum of a checkpoint of `train`.
pub fn checkpoint(bytes: &mut [u8]) {
    if let Some(digits) = digits(bytes) {
        stamp(bytes, digits);
    }
}

/// The checksum of each line of an image list of `train`.
pub fn lines(bytes: &mut [u8]) {
    for line in bytes.split_mut(|&byte| byte == b'\n') {
        checkpoint(line);
    }
}

/// The place of the digits of a checksum in JSON.
fn digits(bytes: &[u8]) -> Option<Range<usize>> {
    const KEY: &[u8] = b"\"checksum\":\"";
    let start = bytes.windows(KEY.len()).position(|found| found == KEY)? + KEY.len();
    (bytes.get(start + 8) == Some(&b'"')).then_some(start..start + 8)
}

/// Writes the checksum that is computed with zeros in its place.
fn stamp(bytes: &mut [u8], digits: Range<usize>) {
    bytes[digits.clone()].fill(b'0');
    let checksum = format!("{:08x}", crc32fast::hash(bytes));
    bytes[digits].copy_from_slice(checksum.as_bytes());
}

/// The checksums of the files in a zip archive, in its directory and before and after each file.
pub fn zip(bytes: &mut [u8]) {
    let end = bytes.windows(4).rposition(|found| found == b"PK\x05\x06");
    let Some(mut at) = end.and_then(|end| u32_at(bytes, end + 16)) else { return };
    // Entries are followed while there are any, as their stated number may be damaged.
    while bytes.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x01\x02")) {
        let lengths = [28, 30, 32].map(|field| u16_at(bytes, at + field));
        let [Some(name), Some(extra), Some(comment)] = lengths else { return };
        zip_entry(bytes, at);
        at += 46 + name + extra + comment;
    }
}

/// The checksums of the file whose entry in the directory is at this place.
fn zip_entry(bytes: &mut [u8], at: usize) -> Option<()> {
    let (size, header) = (u32_at(bytes, at + 20)?, u32_at(bytes, at + 42)?);
    let start = header.checked_add(30)?;
    let start = start + u16_at(bytes, header + 26)? + u16_at(bytes, header + 28)?;
    let end = start.checked_add(size)?;
    let checksum = crc32fast::hash(bytes.get(start..end)?).to_le_bytes();
    write(bytes, at + 16, checksum)?;
    let follows = u16_at(bytes, header + 6)? & 8 != 0;
    if !follows {
        return write(bytes, header + 14, checksum);
    }
    let is_signed = bytes.get(end..)?.starts_with(b"PK\x07\x08");
    write(bytes, if is_signed { end + 4 } else { end }, checksum)
}
