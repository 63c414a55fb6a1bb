//! NumPy's `.npy`: the vectors, `[images, values]` in f32, NaN for an image without a vector. A
//! JSON file next to it has the names, the errors, and the sizes and modification times of the
//! files.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::rows::{Checksum, Row, Rows, Stamp, damaged};
use super::stored_rows::{Stored, foreign};
use crate::cli::input_file;

/// The file of names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    about: Fingerprint,
    checksum: String,
    rows: Vec<Name>,
}

/// A row of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    path: String,
    status: String,
    error: Option<String>,
    /// The file's size and modification time; absent if the file system does not provide them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_bytes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_ns: Option<i64>,
}

/// The file of names that belongs to a file of vectors.
pub fn names_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".json");
    name.into()
}

/// Writes the vectors. Returns the checksum of the rows.
pub fn write(file: &mut File, about: &Fingerprint, rows: &dyn Rows) -> io::Result<String> {
    let (mut output, mut checksum) = (BufWriter::new(file), Checksum::default());
    output.write_all(&header(rows.count(), about.length))?;
    for row in rows.iter() {
        let row = row?;
        checksum.add(&row)?;
        output.write_all(&values(&row, about.length))?;
    }
    output.flush()?;
    Ok(checksum.text())
}

/// Writes the names: a JSON object with one row per line.
pub fn write_names(
    file: &mut File,
    about: &Fingerprint,
    rows: &dyn Rows,
    checksum: &str,
) -> io::Result<()> {
    let mut output = BufWriter::new(file);
    let (about, checksum) = (serde_json::to_string(about)?, serde_json::to_string(checksum)?);
    write!(output, "{{\"about\": {about},\n\"checksum\": {checksum},\n\"rows\": [")?;
    for (index, row) in rows.iter().enumerate() {
        let Row { path, stamp, outcome } = row?;
        let status = if outcome.is_ok() { "ok" } else { "error" }.to_owned();
        let (file_bytes, modified_ns) =
            (stamp.map(|stamp| stamp.bytes), stamp.map(|stamp| stamp.modified_ns));
        let name = Name { path, status, error: outcome.err(), file_bytes, modified_ns };
        write!(output, "{}\n{}", if index == 0 { "" } else { "," }, serde_json::to_string(&name)?)?;
    }
    output.write_all(b"\n]}\n")?;
    output.flush()
}

/// Reads both files.
pub fn read(path: &Path) -> io::Result<Stored> {
    let names_path = names_path(path);
    let in_names = |error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", names_path.display()))
    };
    let names = BufReader::new(input_file::open(&names_path).map_err(in_names)?);
    let Names { about, checksum, rows } =
        serde_json::from_reader(names).map_err(|_| in_names(foreign()))?;
    let file = input_file::open(path)?;
    let header = header(rows.len(), about.length);
    let bytes = 4 * rows.len() as u128 * about.length as u128 + header.len() as u128;
    let found = file.metadata()?.len();
    if bytes != u128::from(found) {
        return Err(damaged(format!(
            "{found} bytes, but {} belongs to a file of {bytes}",
            names_path.display()
        )));
    }
    let mut input = BufReader::new(file);
    let mut start = vec![0; header.len()];
    input.read_exact(&mut start)?;
    if start != header {
        return Err(foreign());
    }
    let length = about.length;
    let row = move |name: Name| {
        let vector = read_values(&mut input, length)?;
        let stamp = name
            .file_bytes
            .zip(name.modified_ns)
            .map(|(bytes, modified_ns)| Stamp { bytes, modified_ns });
        Ok(Row { path: name.path, stamp, outcome: name.error.map_or(Ok(vector), Err) })
    };
    Ok(Stored { about, checksum, rows: Box::new(rows.into_iter().map(row)) })
}

/// A row's values, little-endian.
pub fn values(row: &Row, length: usize) -> Vec<u8> {
    match &row.outcome {
        Ok(vector) => vector.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Err(_) => f32::NAN.to_le_bytes().repeat(length),
    }
}

/// The inverse.
pub fn read_values(input: &mut impl Read, length: usize) -> io::Result<Vec<f32>> {
    let mut bytes = vec![0; 4 * length];
    input.read_exact(&mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
}

/// Version 1.0: the data begins at a multiple of 64 bytes.
fn header(rows: usize, length: usize) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {length}), }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    // 53 characters and two numbers.
    let size = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &size[..], text.as_bytes()].concat()
}
