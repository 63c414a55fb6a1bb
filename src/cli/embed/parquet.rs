//! Parquet with the columns `path`, `status` (`ok` or `error`), `error`, `vector` (a list of f32),
//! `file_bytes` and `modified_ns` (size and modification time of the image file). Vectors do not
//! compress, so there is no compression. Fingerprint and checksum are in the key-value metadata.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::fingerprint::Fingerprint;
use super::rows::{Checksum, Row, Rows, Stamp, damaged};
use super::stored_rows::{Stored, foreign};

const SCHEMA: &str = "message pictures {
    REQUIRED BYTE_ARRAY path (STRING);
    REQUIRED BYTE_ARRAY status (STRING);
    OPTIONAL BYTE_ARRAY error (STRING);
    OPTIONAL GROUP vector (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
    OPTIONAL INT64 file_bytes;
    OPTIONAL INT64 modified_ns;
}";
/// The index of the first of the stamp's two columns.
const STAMPS: usize = 4;

/// Definition levels of `vector`: without a vector, and for a value.
const NO_VECTOR: i16 = 0;
const VALUE: i16 = 2;

const ABOUT: &str = "bottleneck.about";
const CHECKSUM: &str = "bottleneck.checksum";

/// Values in a row group: this much of the vectors is in memory at a time.
const GROUP_VALUES: usize = 16 << 20;

/// Writes everything. Returns the checksum of the rows.
pub fn write(file: &mut File, about: &Fingerprint, rows: &dyn Rows) -> io::Result<String> {
    write_groups(file, about, rows, (GROUP_VALUES / about.length.max(1)).max(1))
}

fn write_groups(
    file: &mut File,
    about: &Fingerprint,
    rows: &dyn Rows,
    group_rows: usize,
) -> io::Result<String> {
    // Without dictionaries and statistics, which do not help for paths and vectors.
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .build();
    let schema = parse_message_type(SCHEMA).map_err(other)?;
    let mut writer =
        SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(other)?;
    let (mut checksum, mut rows) = (Checksum::default(), rows.iter());
    loop {
        let group = rows.by_ref().take(group_rows).collect::<io::Result<Vec<Row>>>()?;
        if group.is_empty() {
            break;
        }
        group.iter().try_for_each(|row| checksum.add(row))?;
        write_group(&mut writer, &group).map_err(other)?;
    }
    let checksum = checksum.text();
    for (key, value) in [(ABOUT, serde_json::to_string(about)?), (CHECKSUM, checksum.clone())] {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    writer.close().map_err(other)?;
    Ok(checksum)
}

fn write_group(
    writer: &mut SerializedFileWriter<&mut File>,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    let errors: Vec<Option<&String>> = rows.iter().map(|row| row.outcome.as_ref().err()).collect();
    let status = |error: &Option<&String>| text(if error.is_some() { "error" } else { "ok" });
    let mut group = writer.next_row_group()?;
    write_text(&mut group, rows.iter().map(|row| text(&row.path)).collect(), None)?;
    write_text(&mut group, errors.iter().map(status).collect(), None)?;
    let defined: Vec<i16> = errors.iter().map(|error| error.is_some().into()).collect();
    write_text(
        &mut group,
        errors.iter().flatten().map(|error| text(error)).collect(),
        Some(&defined),
    )?;
    write_vectors(&mut group, rows)?;
    write_numbers(&mut group, rows.iter().map(|row| row.stamp.map(|stamp| stamp.bytes)))?;
    write_numbers(&mut group, rows.iter().map(|row| row.stamp.map(|stamp| stamp.modified_ns)))?;
    group.close()?;
    Ok(())
}

/// Writes the next column: text.
fn write_text(
    group: &mut SerializedRowGroupWriter<'_, &mut File>,
    values: Vec<ByteArray>,
    defined: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    column.typed::<ByteArrayType>().write_batch(&values, defined, None)?;
    column.close()
}

/// Writes the next column: vectors.
fn write_vectors(
    group: &mut SerializedRowGroupWriter<'_, &mut File>,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    let typed = column.typed::<FloatType>();
    for row in rows {
        match &row.outcome {
            Ok(vector) => {
                // A repetition level of 0 begins a list.
                let repeated: Vec<i16> =
                    (0..vector.len()).map(|index| i16::from(index > 0)).collect();
                typed.write_batch(vector, Some(&vec![VALUE; vector.len()]), Some(&repeated))?
            }
            Err(_) => typed.write_batch(&[], Some(&[NO_VECTOR]), Some(&[0]))?,
        };
    }
    column.close()
}

/// Writes the next column: optional integers.
fn write_numbers(
    group: &mut SerializedRowGroupWriter<'_, &mut File>,
    values: impl Iterator<Item = Option<i64>> + Clone,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    let defined: Vec<i16> = values.clone().map(|value| value.is_some().into()).collect();
    column.typed::<Int64Type>().write_batch(
        &values.flatten().collect::<Vec<_>>(),
        Some(&defined),
        None,
    )?;
    column.close()
}

/// Reads everything, group by group.
pub fn read(file: File) -> io::Result<Stored> {
    let reader = caught(|| SerializedFileReader::new(file)).map_err(|_| foreign())?;
    let metadata = reader.metadata().file_metadata();
    let value = |key: &str| {
        let found = metadata.key_value_metadata()?.iter().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.clone())
    };
    let expected = parse_message_type(SCHEMA).map_err(other)?;
    let (Some(about), Some(checksum), true) =
        (value(ABOUT), value(CHECKSUM), *metadata.schema() == expected)
    else {
        return Err(foreign());
    };
    let about: Fingerprint = serde_json::from_str(&about).map_err(|_| foreign())?;
    let (length, groups) = (about.length, reader.num_row_groups());
    let group = move |index| match caught(|| read_group(&*reader.get_row_group(index)?, length)) {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    };
    Ok(Stored { about, checksum, rows: Box::new((0..groups).flat_map(group)) })
}

fn read_group(group: &dyn RowGroupReader, length: usize) -> Result<Vec<Row>, ParquetError> {
    let (paths, _) = read_text(group, 0, false)?;
    let (errors, failed) = read_text(group, 2, true)?;
    let values = read_vectors(group, paths.len() * length)?;
    let stamps = read_stamps(group)?;
    let (mut errors, mut vectors) = (errors.into_iter(), values.chunks_exact(length));
    let few = || ParquetError::EOF("columns of different lengths".to_owned());
    let row = |((path, failed), stamp): ((String, i16), Option<Stamp>)| {
        let outcome = match failed {
            0 => Ok(vectors.next().ok_or_else(few)?.to_vec()),
            _ => Err(errors.next().ok_or_else(few)?),
        };
        Ok(Row { path, stamp, outcome })
    };
    if stamps.len() != paths.len() {
        return Err(few());
    }
    paths.into_iter().zip(failed).zip(stamps).map(row).collect()
}

/// Reads a column of text, and for each row whether it has a value.
fn read_text(
    group: &dyn RowGroupReader,
    column: usize,
    optional: bool,
) -> Result<(Vec<String>, Vec<i16>), ParquetError> {
    let ColumnReader::ByteArrayColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(no_column());
    };
    let (mut values, mut defined) = (Vec::new(), Vec::new());
    reader.read_records(rows(group)?, optional.then_some(&mut defined), None, &mut values)?;
    let text = |value: ByteArray| Ok(value.as_utf8()?.to_owned());
    Ok((values.into_iter().map(text).collect::<Result<_, ParquetError>>()?, defined))
}

/// Reads the stamps of all rows.
fn read_stamps(group: &dyn RowGroupReader) -> Result<Vec<Option<Stamp>>, ParquetError> {
    let (bytes, modified) = (read_numbers(group, STAMPS)?, read_numbers(group, STAMPS + 1)?);
    let stamp = |(bytes, modified): (Option<i64>, Option<i64>)| {
        Some(Stamp { bytes: bytes?, modified_ns: modified? })
    };
    Ok(bytes.into_iter().zip(modified).map(stamp).collect())
}

/// Reads a column of optional integers.
fn read_numbers(
    group: &dyn RowGroupReader,
    column: usize,
) -> Result<Vec<Option<i64>>, ParquetError> {
    let ColumnReader::Int64ColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(no_column());
    };
    let (mut values, mut defined) = (Vec::new(), Vec::new());
    reader.read_records(rows(group)?, Some(&mut defined), None, &mut values)?;
    let mut values = values.into_iter();
    Ok(defined.into_iter().map(|defined| if defined > 0 { values.next() } else { None }).collect())
}

/// Reads the values of all vectors.
fn read_vectors(group: &dyn RowGroupReader, most: usize) -> Result<Vec<f32>, ParquetError> {
    let ColumnReader::FloatColumnReader(mut reader) = group.get_column_reader(3)? else {
        return Err(no_column());
    };
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    reader.read_records(rows(group)?, Some(&mut defined), Some(&mut repeated), &mut values)?;
    if values.len() > most {
        return Err(ParquetError::General("vectors of the wrong length".to_owned()));
    }
    Ok(values)
}

fn rows(group: &dyn RowGroupReader) -> Result<usize, ParquetError> {
    Ok(usize::try_from(group.metadata().num_rows())?)
}

fn no_column() -> ParquetError {
    ParquetError::General("a column is missing".to_owned())
}

/// The error as one of the system. The crate wraps an error of the system, whose text counts.
fn other(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}

/// Turns errors and panics of the reader into an error about a damaged file.
fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(format!("the file is damaged: {error}"))),
        Err(_) => Err(damaged("the file is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_keeps_its_text() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let found = other(ParquetError::External(Box::new(full)));
        assert_eq!(found.kind(), io::ErrorKind::StorageFull);
        assert_eq!(found.to_string(), io::Error::from(io::ErrorKind::StorageFull).to_string());
    }

    #[test]
    fn row_groups_are_put_together() -> io::Result<()> {
        let row = |index: usize| {
            let outcome = if index % 3 == 1 {
                Err(format!("error {index}"))
            } else {
                Ok(vec![index as f32, 0.5])
            };
            let stamp = (index % 4 != 2).then_some(Stamp { bytes: index as i64, modified_ns: -7 });
            Row { path: format!("{index}.png"), stamp, outcome }
        };
        let about = Fingerprint::of_length(2);
        for (count, group_rows) in [(0, 4), (1, 1), (11, 4), (12, 4), (12, 100)] {
            let rows: Vec<Row> = (0..count).map(row).collect();
            let mut file = tempfile::tempfile()?;
            let checksum = write_groups(&mut file, &about, &&rows[..], group_rows)?;
            let stored = read(file)?;
            assert_eq!((&stored.about, &stored.checksum), (&about, &checksum));
            assert_eq!(stored.rows.collect::<io::Result<Vec<_>>>()?, rows);
        }
        Ok(())
    }
}
