//! The rows of a run in progress, in a file next to the output. They survive a killed process.
//!
//! The format is a line that names the file type, then records: a length, a checksum, and that many
//! bytes. The first record is the [`Fingerprint`], the others are rows; of two rows for one image,
//! the later one counts, and none that is before a record [`REMOVED`] with the image's name. A
//! truncated or damaged record ends the journal; for version 0.1.0, `REMOVED` is one. Before the
//! record [`BEGUN`] is written, rows of the output may be missing, and the journal is ignored.

#[cfg(fuzz_targets)]
pub mod fuzzed;

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;
use super::rows::{Row, Stamp, damaged};
use crate::cli::error::CliError;
use crate::cli::files::open_and_lock;
use crate::cli::output;

const MAGIC: &[u8] = b"bottleneck embed, journal 1\n";

/// The record after which new rows follow.
const BEGUN: &[u8] = &[2];

/// The first byte of a record that removes the row of an image. The image's name follows. Records
/// of rows begin with other bytes.
const REMOVED: u8 = 3;

/// The position of a row.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    at: u64,
    bytes: usize,
    /// Whether it is an error.
    pub failed: bool,
    /// The file's stamp when the row was computed.
    pub stamp: Option<Stamp>,
}

/// The journal, open and locked. Dropping it removes the file, unless it has rows that are nowhere
/// else.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
    places: HashMap<String, Place>,
    begun: bool,
    keep: bool,
}

impl Journal {
    /// Opens the journal of an unfinished run, whose fingerprint must be `about`, or begins one
    /// without rows. A journal with rows is an error unless `resume` is set.
    pub fn open(path: PathBuf, about: &Fingerprint, resume: bool) -> Result<Self, CliError> {
        let io = |source| CliError::io(&path, source);
        let (file, locked) = open_and_lock(&path).map_err(io)?;
        match locked {
            Err(TryLockError::WouldBlock) => {
                let why = "another process is writing it; wait for it, or choose another --out";
                return Err(CliError::Usage(format!("{}: {why}", path.display())));
            }
            // Without locks, the journal works for a single process.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let header = header(about).map_err(io)?;
        let Some(found) = Found::read(&file, &header).map_err(io)? else {
            let mut journal = Self {
                path: path.clone(),
                file,
                end: 0,
                places: HashMap::new(),
                begun: false,
                keep: false,
            };
            journal.file.set_len(0).and_then(|()| journal.write(&header)).map_err(io)?;
            return Ok(journal);
        };
        if !resume {
            let (path, rows) = (path.display(), output::count(found.places.len(), "row", "rows"));
            let ways = "--resume continues from there; delete the journal to start again";
            return Err(CliError::Usage(format!(
                "{path}: the journal of an unfinished run, with {rows}: {ways}"
            )));
        }
        about.check(&path, &found.about)?;
        if found.dropped > 0 {
            let (path, dropped) =
                (path.display(), output::count(found.dropped as usize, "byte", "bytes"));
            output::progress(&format!(
                "{path}: the last {dropped} are damaged and dropped; their rows are computed again"
            ));
        }
        file.set_len(found.end).map_err(io)?;
        Ok(Self { file, end: found.end, places: found.places, begun: true, keep: true, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds every existing row.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Marks it as holding every existing row: rows that are added from now on are new.
    pub fn begin(&mut self) -> Result<(), CliError> {
        self.begun = true;
        record(BEGUN)
            .and_then(|record| self.write(&record))
            .map_err(|source| CliError::io(&self.path, source))
    }

    /// Whether the file is kept when the journal is dropped.
    pub fn is_kept(&self) -> bool {
        self.keep
    }

    /// Adds rows. They survive a killed process.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), CliError> {
        self.add_rows(rows).map_err(|source| CliError::io(&self.path, source))
    }

    fn add_rows(&mut self, rows: &[Row]) -> io::Result<()> {
        let (mut bytes, mut locations) = (Vec::new(), Vec::new());
        for row in rows {
            let mut payload = Vec::new();
            row.encode(&mut payload)?;
            let at = self.end + bytes.len() as u64;
            bytes.extend(record(&payload)?);
            let (failed, stamp) = (row.outcome.is_err(), row.stamp);
            locations.push((row.path.clone(), Place { at, bytes: payload.len(), failed, stamp }));
        }
        self.write(&bytes)?;
        self.places.extend(locations);
        self.keep |= self.begun && !rows.is_empty();
        Ok(())
    }

    /// Removes the rows of these images, if they have any.
    pub fn remove(&mut self, names: &[&str]) -> Result<(), CliError> {
        let mut bytes = Vec::new();
        for name in names.iter().filter(|name| self.places.contains_key(**name)) {
            let payload = [&[REMOVED], name.as_bytes()].concat();
            bytes.extend(record(&payload).map_err(|source| CliError::io(&self.path, source))?);
        }
        self.write(&bytes).map_err(|source| CliError::io(&self.path, source))?;
        for name in names {
            self.places.remove(*name);
        }
        Ok(())
    }

    /// The position of an image's row, if there is one.
    pub fn place(&self, name: &str) -> Option<Place> {
        self.places.get(name).copied()
    }

    /// The names of all images with a row, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// A row.
    pub fn row(&self, place: Place) -> io::Result<Row> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(place.at))?;
        let mut bytes = vec![0; 8 + place.bytes];
        file.read_exact(&mut bytes)?;
        let payload = bytes.split_off(8);
        if bytes != frame(&payload)? {
            return Err(damaged("a row has changed in the meantime"));
        }
        Row::decode(&payload).ok_or_else(|| damaged("a row has changed in the meantime"))
    }

    /// Keeps the rows from now on, since the output may be replaced.
    pub fn hold(&mut self) {
        self.keep |= !self.places.is_empty();
    }

    /// Ends the journal: its rows are in the output now.
    pub fn finish(mut self) {
        self.keep = false;
    }

    /// Appends the bytes. If that fails, no part of them is left.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        if let Err(error) = self.file.write_all(bytes) {
            // The error is what counts; a torn record would be dropped later.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.keep {
            // If the file cannot be removed, no rows are lost: all of them are elsewhere too.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The journal of an unfinished run.
struct Found {
    about: Fingerprint,
    places: HashMap<String, Place>,
    /// The position of the next record.
    end: u64,
    /// The bytes after that.
    dropped: u64,
}

impl Found {
    /// Reads a journal; `None` if it has no row, or if its rows are still in the output. `header`
    /// is the beginning of this run's journal.
    fn read(file: &File, header: &[u8]) -> io::Result<Option<Self>> {
        let length = file.metadata()?.len();
        let mut reader = Reader { input: BufReader::new(file), at: 0, length };
        if length < header.len() as u64
            && reader.bytes(length as usize)? == header[..length as usize]
        {
            return Ok(None);
        }
        reader.input.seek(SeekFrom::Start(0))?;
        reader.at = 0;
        let foreign = || {
            damaged(
                "not a journal of this version, or damaged at its beginning; delete it to start \
                again",
            )
        };
        if length < MAGIC.len() as u64 || reader.bytes(MAGIC.len())? != MAGIC {
            return Err(foreign());
        }
        let about = reader.record()?.ok_or_else(foreign)?;
        let about: Fingerprint = serde_json::from_slice(&about).map_err(|_| foreign())?;
        let (mut places, mut begun, mut end) = (HashMap::new(), false, reader.at);
        while let Some(payload) = reader.record()? {
            let at = std::mem::replace(&mut end, reader.at);
            if payload == BEGUN {
                begun = true;
                continue;
            }
            if let Some(name) = removed(&payload) {
                places.remove(name);
                continue;
            }
            let row = Row::decode(&payload).filter(|row| row.fits(about.length));
            let Some(row) = row else {
                end = at;
                break;
            };
            let (failed, stamp) = (row.outcome.is_err(), row.stamp);
            places.insert(row.path, Place { at, bytes: payload.len(), failed, stamp });
        }
        Ok((begun && !places.is_empty()).then_some(Self {
            about,
            places,
            end,
            dropped: length - end,
        }))
    }
}

/// The image whose row a record removes; `None` if it is another record.
fn removed(payload: &[u8]) -> Option<&str> {
    let (&kind, name) = payload.split_first()?;
    std::str::from_utf8(name).ok().filter(|_| kind == REMOVED)
}

/// Reads records, and never beyond the end of the file.
struct Reader<'a> {
    input: BufReader<&'a File>,
    at: u64,
    length: u64,
}

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes)?;
        self.at += count as u64;
        Ok(bytes)
    }

    /// The next record's payload; `None` if there is no complete one.
    fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.length - self.at < 8 {
            return Ok(None);
        }
        let found = self.bytes(8)?;
        let length = u32::from_le_bytes([found[0], found[1], found[2], found[3]]);
        // A file system may leave zeros after a power failure.
        if length == 0 || u64::from(length) > self.length - self.at {
            return Ok(None);
        }
        let payload = self.bytes(length as usize)?;
        Ok((frame(&payload)? == *found).then_some(payload))
    }
}

/// The header of a record: its length and its checksum.
fn frame(payload: &[u8]) -> io::Result<[u8; 8]> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut frame = [0; 8];
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    Ok(frame)
}

fn record(payload: &[u8]) -> io::Result<Vec<u8>> {
    Ok([&frame(payload)?, payload].concat())
}

/// The beginning of a journal.
fn header(about: &Fingerprint) -> io::Result<Vec<u8>> {
    Ok([MAGIC, &record(&serde_json::to_vec(about)?)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_rows_stay_removed() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (path, about) = (folder.path().join("journal"), Fingerprint::of_length(1));
        let row = |path: &str, outcome: Result<f32, &str>| Row {
            path: path.to_owned(),
            stamp: None,
            outcome: outcome.map(|value| vec![value]).map_err(str::to_owned),
        };
        let names = |journal: &Journal| -> Vec<String> {
            let mut names: Vec<_> = journal.names().map(str::to_owned).collect();
            names.sort();
            names
        };
        let mut journal = Journal::open(path.clone(), &about, false)?;
        journal.add(&[row("a", Err("bad")), row("b", Ok(1.0)), row("c", Err("bad"))])?;
        journal.begin()?;
        journal.hold();
        journal.remove(&["a", "c", "none"])?;
        journal.add(&[row("c", Ok(2.0)), row("d", Ok(3.0))])?;
        assert_eq!(names(&journal), ["b", "c", "d"]);
        drop(journal);
        let journal = Journal::open(path.clone(), &about, true)?;
        assert_eq!(names(&journal), ["b", "c", "d"]);
        let place = journal.place("c").ok_or("no row")?;
        assert_eq!(journal.row(place)?, row("c", Ok(2.0)));
        journal.finish();
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn no_row_is_a_record_of_removal() -> io::Result<()> {
        for outcome in [Ok(vec![1.0]), Err("bad".to_owned())] {
            for stamp in [None, Some(Stamp { bytes: 3, modified_ns: 3 })] {
                let mut bytes = Vec::new();
                Row { path: "a".to_owned(), stamp, outcome: outcome.clone() }.encode(&mut bytes)?;
                assert_eq!(removed(&bytes), None);
            }
        }
        assert_eq!(removed(&[REMOVED, b'a']), Some("a"));
        assert_eq!((removed(BEGUN), Row::decode(&[REMOVED, b'a'])), (None, None));
        Ok(())
    }
}
