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

/// One line about an epoch.
pub fn summary(epoch: &Epoch, epochs: u64) -> String {
    let Epoch { epoch: number, rate, loss, accuracy, images_per_second, .. } = epoch;
    let validation = match (epoch.validation_loss, epoch.validation_accuracy) {
        (Some(loss), Some(accuracy)) => {
            format!("; validation loss {loss:.4}, {:.2} % right", 100.0 * accuracy)
        }
        _ => String::new(),
    };
    format!(
        "epoch {number} of {epochs}: rate {rate:.4}, loss {loss:.4}, {:.2} % right{validation}; \
        {images_per_second:.1} images/s",
        100.0 * accuracy
    )
}

/// The epoch with the highest validation accuracy. Among epochs of equal accuracy, the one with the
/// lowest validation loss; if these are also equal, the earliest.
pub fn best(epochs: &[Epoch]) -> Option<&Epoch> {
    let of = |epoch: &Epoch| Some((epoch.validation_accuracy?, epoch.validation_loss?));
    let better = |best: Option<&Epoch>, epoch: &Epoch| match (best.and_then(of), of(epoch)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some((most, least)), Some((accuracy, loss))) => {
            accuracy > most || accuracy == most && loss < least
        }
    };
    epochs.iter().fold(None, |best, epoch| if better(best, epoch) { Some(epoch) } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_epoch_is_the_most_accurate_then_that_of_the_lowest_loss() {
        let epochs = |validations: &[Option<(f64, f64)>]| -> Option<u64> {
            let epoch = |(epoch, validation): (u64, &Option<(f64, f64)>)| Epoch {
                epoch,
                steps: epoch,
                rate: 0.1,
                loss: 1.0,
                accuracy: 1.0,
                validation_loss: validation.map(|(_, loss)| loss),
                validation_accuracy: validation.map(|(accuracy, _)| accuracy),
                images_per_second: 1.0,
            };
            let epochs: Vec<Epoch> = (1..).zip(validations).map(epoch).collect();
            best(&epochs).map(|epoch| epoch.epoch)
        };
        assert_eq!(epochs(&[]), None);
        assert_eq!(epochs(&[None, None]), None);
        assert_eq!(epochs(&[None, Some((0.5, 2.0)), None, Some((0.4, 1.0))]), Some(2));
        assert_eq!(epochs(&[Some((0.5, 2.0)), Some((0.5, 1.0)), Some((0.5, 1.0))]), Some(2));
        assert_eq!(epochs(&[Some((0.5, f64::NAN)), Some((0.5, 1.0)), Some((0.6, 9.0))]), Some(3));
    }
}
