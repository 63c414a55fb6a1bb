//! The zip format, of PyTorch 1.6 and later: an archive of uncompressed entries.
//!
//! ```text
//! <name>/data.pkl     the object; each storage in it is a persistent id with a key
//! <name>/data/<key>   the bytes of a storage
//! <name>/byteorder    "little" or "big"; since 2.1
//! <name>/version      and others, which are irrelevant for the tensors
//! ```
//!
//! Sources: `torch/serialization.py` (`_save`, `_load`) and `caffe2/serialize/inline_container.cc`.
//! An entry is always a range of the file, never a copy or a path in the file system.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use crate::error::PthError;

/// Maximum number of entries in an archive: one per storage and a few more. ResNet-152 has 932
/// storages; an optimizer doubles or triples that.
const MAX_ENTRIES: usize = 100_000;

/// The signature of an entry's record in the central directory.
const RECORD: &[u8; 4] = b"PK\x01\x02";

/// A file written by `torch.save`, with entries checked to lie within it.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    /// The folder of all entries, with its slash.
    folder: String,
    entries: HashMap<String, Stored>,
}

#[derive(Debug)]
struct Stored {
    range: Range<usize>,
    checksum: u32,
}

impl<'a> Archive<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, PthError> {
        check_count(bytes)?;
        // The archive begins where the file does. Left to detect that, zip 9.8.1 takes the second
        // record for the first where the first takes as many bytes as the zip64 records that
        // PyTorch writes: for a file name of 21 bytes before its dot.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(damaged)?;
        // Of entries with one name the zip reader knows only the last.
        if zip.has_duplicate_names() {
            return Err(PthError::Archive {
                reason: "two of its entries have the same name".to_owned(),
            });
        }
        let mut packed = Vec::new();
        let mut entries = HashMap::new();
        let mut room = bytes.len();
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(damaged)?;
            let name = file.name().map_err(damaged)?.into_owned();
            if file.encrypted() {
                packed.push((name, "encrypted".to_owned()));
            } else if file.compression() != CompressionMethod::Stored {
                packed.push((name, file.compression().to_string()));
            } else {
                let range = within(bytes, file.data_start(), file.compressed_size(), file.size())
                    .ok_or_else(|| PthError::Archive {
                    reason: format!("entry {name} is not within the file"),
                })?;
                room = room.checked_sub(range.len()).ok_or_else(overlap)?;
                entries.insert(name, Stored { range, checksum: file.crc32() });
            }
        }
        let names = || entries.keys().chain(packed.iter().map(|(name, _)| name));
        if !names().any(|name| name.ends_with("data.pkl")) {
            other_archive(names())?;
        }
        let folder = one_folder(names())?;
        let is_script = names().any(|name| name.strip_prefix(&folder) == Some("constants.pkl"));
        if is_script && names().any(|name| name.contains("/code/")) {
            return Err(PthError::TorchScript);
        }
        if let Some((entry, method)) = packed.into_iter().next() {
            return Err(PthError::Packed { entry, method });
        }
        let archive = Self { bytes, folder, entries };
        match archive.find("byteorder")? {
            Some(range) if bytes[range.clone()].trim_ascii() != b"little" => {
                Err(PthError::BigEndian)
            }
            _ => Ok(archive),
        }
    }

    /// The range of the object's pickle.
    pub fn pickle(&self) -> Result<Range<usize>, PthError> {
        self.require("data.pkl")
    }

    /// The range of a storage's bytes.
    pub fn storage(&self, key: &str) -> Result<Range<usize>, PthError> {
        self.require(&format!("data/{key}"))
    }

    fn require(&self, name: &str) -> Result<Range<usize>, PthError> {
        self.find(name)?
            .ok_or_else(|| PthError::NoEntry { entry: format!("{}{name}", self.folder) })
    }

    /// An entry of the folder, after checking its checksum. PyTorch writes zero if it is set not to
    /// compute one.
    fn find(&self, name: &str) -> Result<Option<Range<usize>>, PthError> {
        let entry = format!("{}{name}", self.folder);
        let Some(stored) = self.entries.get(&entry) else { return Ok(None) };
        if stored.checksum != 0 {
            let found = crc32fast::hash(&self.bytes[stored.range.clone()]);
            if found != stored.checksum {
                return Err(PthError::Checksum { entry, found, stated: stored.checksum });
            }
        }
        Ok(Some(stored.range.clone()))
    }
}

/// The zip reader uses some hundred bytes per record, so a file of only records would need many
/// times its size. So this counts them first.
fn check_count(bytes: &[u8]) -> Result<(), PthError> {
    let found = memchr::memmem::find_iter(bytes, RECORD).count();
    if found > MAX_ENTRIES {
        return Err(PthError::Limit { what: "entries of the archive", found, limit: MAX_ENTRIES });
    }
    Ok(())
}

/// Refuses an archive without an object whose entries show what it is.
fn other_archive<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), PthError> {
    let ends = |name: &str, endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    for name in names {
        if ends(name, &[".npy"]) {
            return Err(PthError::Npz);
        }
        if ends(name, &[".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pth.tar"]) {
            return Err(PthError::Around { entry: name.clone() });
        }
    }
    Ok(())
}

/// The folder of all entries, with its slash. If there are two, each with an object, it is unclear
/// which is the file's.
fn one_folder<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<String, PthError> {
    let folder_of = |name: &str| name.find('/').map(|slash| name[..=slash].to_owned());
    let folder = names.next().and_then(|name| folder_of(name)).unwrap_or_default();
    match names.find(|name| folder_of(name).as_ref() != Some(&folder)) {
        None => Ok(folder),
        Some(name) => {
            // The order of a map's names is random; the message must be deterministic.
            let other = folder_of(name).unwrap_or_default();
            let (first, second) = if folder < other { (folder, other) } else { (other, folder) };
            let reason =
                format!("its entries lie in more than one folder: {first:?} and {second:?}");
            Err(PthError::Archive { reason })
        }
    }
}

/// The range of a stored entry. Its two sizes must agree.
fn within(bytes: &[u8], start: Option<u64>, packed: u64, unpacked: u64) -> Option<Range<usize>> {
    let start = usize::try_from(start?).ok()?;
    let end = start.checked_add(usize::try_from(packed).ok()?)?;
    (packed == unpacked && end <= bytes.len()).then_some(start..end)
}

/// Several records can refer to the same bytes, which would then be read once per record.
fn overlap() -> PthError {
    PthError::Archive {
        reason: "its entries overlap: together they are larger than the file".to_owned(),
    }
}

fn damaged(error: ZipError) -> PthError {
    let reason = error.to_string();
    // The directory is at the end of the file.
    let truncated = reason.contains("EOCD") || reason.contains("central directory");
    let why = if truncated { "the file is truncated, its directory is missing: " } else { "" };
    PthError::Archive { reason: format!("{why}{reason}") }
}
