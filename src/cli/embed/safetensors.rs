//! Safetensors with the tensors `vectors` (`[images, values]` in f32, NaN for an image without a
//! vector), `ok` (one byte per image) and `files` (`[images, 2]` in i64: size in bytes and
//! modification time in nanoseconds since 1970, or -1 twice if unknown). The metadata of the header
//! has the names and errors as JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fingerprint::Fingerprint;
use super::npy::{read_values, values};
use super::rows::{Checksum, Row, Rows, Stamp, damaged};
use super::stored_rows::{Stored, foreign};
use crate::cli::error::CliError;

/// Bytes of the largest header that safetensors libraries read.
const MAX_HEADER: usize = 100_000_000;
/// Bytes of the header that names may take: the rest is for errors.
const MAX_NAMES: usize = 80_000_000;

/// The metadata, as JSON in strings, since safetensors allows nothing else.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    about: String,
    checksum: String,
    /// A list.
    paths: String,
    /// Errors by the index of the row.
    errors: String,
}

/// Whether the header can hold these names.
pub fn check_names(names: &[String]) -> Result<(), CliError> {
    // Quotation marks within a string within a string.
    let bytes: usize = names.iter().map(|name| name.escape_default().count() + 5).sum();
    if bytes <= MAX_NAMES {
        return Ok(());
    }
    let (files, most) = (names.len(), MAX_NAMES >> 20);
    let way = "write .parquet or .npy, or parts of the files with --shard";
    Err(CliError::Usage(format!(
        "the names of {files} files do not fit into {most} MiB of a safetensors header: {way}"
    )))
}

/// Writes everything. Returns the checksum of the rows.
pub fn write(file: &mut File, about: &Fingerprint, rows: &dyn Rows) -> io::Result<String> {
    let (mut checksum, mut paths, mut stamps) = (Checksum::default(), Vec::new(), Vec::new());
    let mut errors = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let row = row?;
        checksum.add(&row)?;
        paths.push(row.path);
        stamps.push(row.stamp.unwrap_or(UNKNOWN));
        errors.extend(row.outcome.err().map(|error| (index, error)));
    }
    let metadata = Metadata {
        about: serde_json::to_string(about)?,
        checksum: checksum.text(),
        paths: serde_json::to_string(&paths)?,
        errors: serde_json::to_string(&errors)?,
    };
    let mut output = BufWriter::new(file);
    output.write_all(&header(&metadata, paths.len(), about.length)?)?;
    for Stamp { bytes, modified_ns } in stamps {
        output.write_all(&bytes.to_le_bytes())?;
        output.write_all(&modified_ns.to_le_bytes())?;
    }
    for row in rows.iter() {
        output.write_all(&values(&row?, about.length))?;
    }
    let ok: Vec<u8> =
        (0..paths.len()).map(|index| u8::from(!errors.contains_key(&index))).collect();
    output.write_all(&ok)?;
    output.flush()?;
    Ok(metadata.checksum)
}

/// Reads everything.
pub fn read(file: File) -> io::Result<Stored> {
    let bytes = file.metadata()?.len();
    let mut input = BufReader::new(file);
    let mut size = [0; 8];
    input.read_exact(&mut size).map_err(|_| foreign())?;
    let size = u64::from_le_bytes(size);
    if size > bytes.min(MAX_HEADER as u64) {
        return Err(foreign());
    }
    let mut start = vec![0; size as usize];
    input.read_exact(&mut start).map_err(|_| foreign())?;
    let parsed = parse(&start).map_err(|_| foreign())?;
    let (metadata, about, paths, mut errors) = parsed;
    // The header must be the one that these rows would be written with; otherwise this program did
    // not write the file.
    if header(&metadata, paths.len(), about.length)?.get(8..) != Some(&start[..]) {
        return Err(foreign());
    }
    let row_bytes = 4 * about.length as u128 + 1 + STAMP_BYTES as u128;
    let expected = 8 + u128::from(size) + paths.len() as u128 * row_bytes;
    if expected != u128::from(bytes) {
        return Err(damaged(format!("the file is damaged: {bytes} bytes, expected {expected}")));
    }
    let length = about.length;
    let stamps = read_stamps(&mut input, paths.len())?;
    let row = move |(index, path): (usize, String)| {
        let vector = read_values(&mut input, length)?;
        Ok(Row {
            path,
            stamp: stamps[index],
            outcome: errors.remove(&index).map_or(Ok(vector), Err),
        })
    };
    Ok(Stored {
        about,
        checksum: metadata.checksum,
        rows: Box::new(paths.into_iter().enumerate().map(row)),
    })
}

/// Bytes of a stamp.
const STAMP_BYTES: usize = 16;
/// The value that encodes a missing stamp.
const UNKNOWN: Stamp = Stamp { bytes: -1, modified_ns: -1 };

fn read_stamps(input: &mut impl Read, rows: usize) -> io::Result<Vec<Option<Stamp>>> {
    let mut stamps = Vec::with_capacity(rows);
    for _ in 0..rows {
        let mut bytes = [0; STAMP_BYTES];
        input.read_exact(&mut bytes)?;
        let [size, modified] =
            [0, 8].map(|at| i64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte])));
        let stamp = Stamp { bytes: size, modified_ns: modified };
        stamps.push((stamp != UNKNOWN).then_some(stamp));
    }
    Ok(stamps)
}

type Parsed = (Metadata, Fingerprint, Vec<String>, BTreeMap<usize, String>);

fn parse(header: &[u8]) -> serde_json::Result<Parsed> {
    #[derive(Deserialize)]
    struct Header {
        __metadata__: Metadata,
    }
    let Header { __metadata__: metadata } = serde_json::from_slice(header)?;
    let (about, paths) =
        (serde_json::from_str(&metadata.about)?, serde_json::from_str(&metadata.paths)?);
    let errors = serde_json::from_str(&metadata.errors)?;
    Ok((metadata, about, paths, errors))
}

/// The header after its size, padded so that the data begins at a multiple of 8 bytes.
fn header(metadata: &Metadata, rows: usize, length: usize) -> io::Result<Vec<u8>> {
    let bytes = |values: usize, each: usize| values.checked_mul(each);
    let ends = || {
        let files = bytes(rows, STAMP_BYTES)?;
        let vectors = files.checked_add(bytes(bytes(rows, length)?, 4)?)?;
        Some((files, vectors, vectors.checked_add(rows)?))
    };
    let (files, vectors, ok) =
        ends().ok_or_else(|| io::Error::other("more vectors than fit into memory"))?;
    let header = json!({
        "__metadata__": metadata,
        "files": { "dtype": "I64", "shape": [rows, 2], "data_offsets": [0, files] },
        "ok": { "dtype": "U8", "shape": [rows], "data_offsets": [vectors, ok] },
        "vectors": { "dtype": "F32", "shape": [rows, length], "data_offsets": [files, vectors] },
    });
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() > MAX_HEADER {
        let why = format!(
            "a header of {} bytes, safetensors allows {MAX_HEADER}: too many names and errors",
            header.len()
        );
        return Err(io::Error::other(why));
    }
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}
