//! Safetensors: `vectors`, `[pictures, values]` in f32, NaN where a picture has none, and `ok`, a byte per picture. The header's
//! metadata has the pictures' names and errors as JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fingerprint::Fingerprint;
use super::format::{Stored, foreign};
use super::npy::{read_values, values};
use super::rows::{Checksum, Row, Rows, damaged};
use crate::cli::error::CliError;

/// Bytes of the largest header that safetensors libraries read.
const MAX_HEADER: usize = 100_000_000;
/// Bytes of it that names may take: the rest is for errors.
const MAX_NAMES: usize = 80_000_000;

/// What is in the metadata; JSON in strings, as safetensors allows nothing else.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    about: String,
    checksum: String,
    /// A list.
    paths: String,
    /// Errors by the number of the row.
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
    let (mut checksum, mut paths, mut errors) = (Checksum::default(), Vec::new(), BTreeMap::new());
    for (index, row) in rows.iter().enumerate() {
        let row = row?;
        checksum.add(&row)?;
        paths.push(row.path);
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
    for row in rows.iter() {
        output.write_all(&values(&row?, about.length))?;
    }
    let ok: Vec<u8> = (0..paths.len()).map(|index| u8::from(!errors.contains_key(&index))).collect();
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
    // The header is the one that these would be written with, or it is none of ours.
    if header(&metadata, paths.len(), about.length)?.get(8..) != Some(&start[..]) {
        return Err(foreign());
    }
    let expected = 8 + u128::from(size) + paths.len() as u128 * (4 * about.length as u128 + 1);
    if expected != u128::from(bytes) {
        return Err(damaged(format!("the file is damaged: {bytes} bytes, expected {expected}")));
    }
    let length = about.length;
    let row = move |(index, path): (usize, String)| {
        let vector = read_values(&mut input, length)?;
        Ok(Row { path, outcome: errors.remove(&index).map_or(Ok(vector), Err) })
    };
    Ok(Stored { about, checksum: metadata.checksum, rows: Box::new(paths.into_iter().enumerate().map(row)) })
}

type Parsed = (Metadata, Fingerprint, Vec<String>, BTreeMap<usize, String>);

fn parse(header: &[u8]) -> serde_json::Result<Parsed> {
    #[derive(Deserialize)]
    struct Header {
        __metadata__: Metadata,
    }
    let Header { __metadata__: metadata } = serde_json::from_slice(header)?;
    let (about, paths) = (serde_json::from_str(&metadata.about)?, serde_json::from_str(&metadata.paths)?);
    let errors = serde_json::from_str(&metadata.errors)?;
    Ok((metadata, about, paths, errors))
}

/// The header with its size before it, filled up so that the data begins at a multiple of 8 bytes.
fn header(metadata: &Metadata, rows: usize, length: usize) -> io::Result<Vec<u8>> {
    let vectors = rows.checked_mul(length).and_then(|values| values.checked_mul(4));
    let vectors = vectors.ok_or_else(|| io::Error::other("more vectors than there is memory"))?;
    let header = json!({
        "__metadata__": metadata,
        "ok": { "dtype": "U8", "shape": [rows], "data_offsets": [vectors, vectors.saturating_add(rows)] },
        "vectors": { "dtype": "F32", "shape": [rows, length], "data_offsets": [0, vectors] },
    });
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() > MAX_HEADER {
        let why =
            format!("a header of {} bytes, safetensors allows {MAX_HEADER}: too many names and errors", header.len());
        return Err(io::Error::other(why));
    }
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}
