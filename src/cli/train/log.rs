//! The log of a run: one line of CSV per epoch.

use std::path::Path;

use super::super::error::CliError;
use super::super::files::OutputFile;

/// The results of an epoch.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Steps of the optimiser so far.
    pub steps: u64,
    /// The learning rate at its end.
    pub rate: f64,
    /// The mean loss of its batches.
    pub loss: f64,
    /// The share of their images that were classified correctly.
    pub accuracy: f64,
    /// The loss on the validation images after the epoch.
    pub validation_loss: Option<f64>,
    /// The share of the validation images that were classified correctly.
    pub validation_accuracy: Option<f64>,
    /// Images per second, without validation.
    #[serde(rename = "pictures_per_second")]
    pub images_per_second: f64,
}

/// The epochs of a log up to `last`; none if there is no file.
pub fn read(path: &Path, last: u64) -> Result<Vec<Epoch>, CliError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let wrong = |error: csv::Error| CliError::Usage(format!("{}: {error}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(wrong)?;
    let rows = reader.deserialize().collect::<Result<Vec<Epoch>, _>>().map_err(wrong)?;
    Ok(rows.into_iter().filter(|row| row.epoch <= last).collect())
}

/// Writes a whole log.
pub fn write(file: &OutputFile, epochs: &[Epoch]) -> Result<(), CliError> {
    let wrong = |error: String| CliError::io(file.path(), std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for epoch in epochs {
        writer.serialize(epoch).map_err(|error| wrong(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| wrong(error.to_string()))?;
    file.write_bytes(&bytes)
}
