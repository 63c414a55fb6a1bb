//! A row: an image and its vector, or its error. The journal stores rows in the same encoding that
//! the checksums of output files are computed from.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Size and modification time of a file. If either changes, the vector is recomputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub bytes: i64,
    /// Nanoseconds since 1970-01-01 in UTC.
    pub modified_ns: i64,
}

impl Stamp {
    /// The current stamp of a file; `None` if the file system does not provide one or the file is
    /// missing.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?;
        let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).ok();
        let modified_ns = match modified.duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after)?,
            Err(before) => -nanoseconds(before.duration())?,
        };
        Some(Self { bytes: i64::try_from(metadata.len()).ok()?, modified_ns })
    }
}

/// The result of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The file's name. Bytes that are not UTF-8 are escaped. Two files with the same escaped name
    /// are an error at the start of the run.
    pub path: String,
    /// The file's stamp when the row was computed; `None` if the file system provides none.
    pub stamp: Option<Stamp>,
    /// Its vector, or its error.
    pub outcome: Result<Vec<f32>, String>,
}

/// Rows in the order of the files.
pub trait Rows {
    /// How many there are.
    fn count(&self) -> usize;
    /// All of them. May be called again.
    fn iter(&self) -> Box<dyn Iterator<Item = io::Result<Row>> + '_>;
}

/// An error about a file's contents.
pub fn damaged(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const VECTOR: u8 = 0;
const ERROR: u8 = 1;
/// Added to either value if a stamp follows. The values 2 and 3 are taken: they mark other records
/// of the journal.
const STAMPED: u8 = 4;

impl Row {
    /// Appends the row: kind, stamp, length of the path, path, and the values or the error. Numbers
    /// are little-endian.
    pub fn encode(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let length = u32::try_from(self.path.len()).map_err(io::Error::other)?;
        let kind = if self.outcome.is_ok() { VECTOR } else { ERROR };
        match self.stamp {
            None => bytes.push(kind),
            Some(Stamp { bytes: size, modified_ns }) => {
                bytes.push(kind + STAMPED);
                bytes.extend(size.to_le_bytes());
                bytes.extend(modified_ns.to_le_bytes());
            }
        }
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.path.as_bytes());
        match &self.outcome {
            Ok(vector) => vector.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
            Err(error) => bytes.extend(error.as_bytes()),
        }
        Ok(())
    }

    /// Whether it has an error, or a vector of this many finite values.
    pub fn fits(&self, length: usize) -> bool {
        let fits = |vector: &Vec<f32>| {
            vector.len() == length && vector.iter().all(|value| value.is_finite())
        };
        self.outcome.as_ref().map_or(true, fits)
    }

    /// The inverse; `None` if the bytes are not a row.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut rest) = bytes.split_first()?;
        let mut stamp = None;
        if kind >= STAMPED {
            let (size, after) = rest.split_first_chunk()?;
            let (modified, after) = after.split_first_chunk()?;
            stamp = Some(Stamp {
                bytes: i64::from_le_bytes(*size),
                modified_ns: i64::from_le_bytes(*modified),
            });
            rest = after;
        }
        let (length, rest) = rest.split_first_chunk()?;
        let (path, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let outcome = match kind - if stamp.is_some() { STAMPED } else { 0 } {
            VECTOR => match rest.as_chunks() {
                (values, []) => Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect()),
                _ => return None,
            },
            ERROR => Err(String::from_utf8(rest.to_vec()).ok()?),
            _ => return None,
        };
        Some(Self { path: String::from_utf8(path.to_vec()).ok()?, stamp, outcome })
    }
}

/// A checksum of rows and their order.
#[derive(Debug, Clone, Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// Adds the next row.
    pub fn add(&mut self, row: &Row) -> io::Result<()> {
        let mut bytes = Vec::new();
        row.encode(&mut bytes)?;
        // With the length, so that no two lists of rows are the same bytes.
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(&bytes);
        Ok(())
    }

    /// As text.
    pub fn text(self) -> String {
        format!("{:08x}", self.0.finalize())
    }

    /// Checks that it is the checksum in a file.
    pub fn check(self, expected: &str) -> io::Result<()> {
        let found = self.text();
        if found == expected {
            return Ok(());
        }
        Err(damaged(format!(
            "the file is damaged: its rows have checksum {found}, expected {expected}"
        )))
    }
}

/// Rows in memory, for tests.
#[cfg(test)]
impl Rows for &[Row] {
    fn count(&self) -> usize {
        self.len()
    }

    fn iter(&self) -> Box<dyn Iterator<Item = io::Result<Row>> + '_> {
        Box::new(<[Row]>::iter(self).cloned().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() -> io::Result<()> {
        let row = |path: &str, stamp: Option<[i64; 2]>, outcome: Result<Vec<f32>, &str>| Row {
            path: path.to_owned(),
            stamp: stamp.map(|[bytes, modified_ns]| Stamp { bytes, modified_ns }),
            outcome: outcome.map_err(str::to_owned),
        };
        let rows = [
            row("a/ä.png", Some([0, i64::MAX]), Ok(vec![1.5, -0.0, f32::MIN_POSITIVE])),
            row("a/ä.png", None, Ok(vec![1.5, -0.0])),
            row("", Some([7, -1]), Ok(vec![])),
            row("b", None, Err("no\nimage")),
            row("b", Some([1 << 40, 0]), Err("no\nimage")),
        ];
        for row in &rows {
            let mut bytes = Vec::new();
            row.encode(&mut bytes)?;
            assert_eq!(Row::decode(&bytes).as_ref(), Some(row));
            // Cut short it is another row or none, and never a panic.
            for length in 0..bytes.len() {
                assert_ne!(Row::decode(&bytes[..length]).as_ref(), Some(row));
            }
        }
        assert_eq!(Row::decode(&[VECTOR, 9, 0, 0, 0, b'a']), None);
        assert_eq!(Row::decode(&[7, 0, 0, 0, 0]), None);
        Ok(())
    }
}
