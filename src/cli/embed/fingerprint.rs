//! The settings that must be equal for the vectors of two runs to go into one file.

use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::{NetworkWeights, Preprocess};

use super::shard::Shard;
use super::vectors::Vectors;
use crate::cli::engine_args::PrecisionArg;
use crate::cli::error::CliError;
use crate::cli::input_file;
use crate::cli::setting_texts;

/// The settings that made the vectors. Every output file and journal has them as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The network, as the program prints it.
    network: String,
    /// Its other settings: norm, strides, dilations and key prefix; also the precision, the layer
    /// and the normalisation of vectors, if these are not the defaults.
    settings: String,
    /// The preprocessing of images.
    preprocessing: String,
    /// Length and checksum of the weights file.
    weights: String,
    /// The part of the files.
    shard: String,
    /// Values of a vector.
    pub length: usize,
}

impl Fingerprint {
    /// The fingerprint of a new run. Reads the weights file.
    pub fn new(
        path: &Path,
        weights: &NetworkWeights,
        preprocess: &Preprocess,
        precision: PrecisionArg,
        shard: Option<Shard>,
        vectors: &Vectors,
        key: Option<&str>,
    ) -> Result<Self, CliError> {
        let spec = weights.spec();
        let dilations: Vec<usize> =
            spec.blocks().filter_map(|(_, block)| Some(block.bottleneck()?.dilation())).collect();
        let prefix = weights.checkpoint().prefix();
        Ok(Self {
            network: spec.to_string(),
            settings: format!(
                "{}, strides in {}, dilations {}, prefix {prefix:?}{}{}{}",
                setting_texts::norm(spec.norm()),
                setting_texts::stride_in(spec.stride_in()),
                setting_texts::list(&dilations),
                // Older files, from before there was a choice, do not state it.
                match precision {
                    PrecisionArg::F32 => String::new(),
                    other => format!(", {}", other.name()),
                },
                vectors.text(),
                // Two networks of a file may have the same prefix.
                key.map_or_else(String::new, |key| format!(", key {key:?}"))
            ),
            preprocessing: setting_texts::preprocess(preprocess),
            weights: digest(path).map_err(|source| CliError::io(path, source))?,
            shard: shard.unwrap_or_default().to_string(),
            length: vectors.length,
        })
    }

    /// Refuses rows in `file` that were made with other settings.
    pub fn check(&self, file: &Path, found: &Self) -> Result<(), CliError> {
        let parts = [
            ("network", &self.network, &found.network),
            ("settings of the network", &self.settings, &found.settings),
            ("preprocessing", &self.preprocessing, &found.preprocessing),
            ("weights", &self.weights, &found.weights),
            ("shard", &self.shard, &found.shard),
            ("length of a vector", &self.length.to_string(), &found.length.to_string()),
        ];
        let differs = |(name, now, then): &(&str, &String, &String)| {
            (now != then).then(|| format!("{name}: {then} in the file, {now} now"))
        };
        let differences: Vec<String> = parts.iter().filter_map(differs).collect();
        if differences.is_empty() {
            return Ok(());
        }
        let (file, differences) = (file.display(), differences.join("; "));
        Err(CliError::Usage(format!(
            "{file}: no rows can be added, its vectors have other settings: {differences}"
        )))
    }
}

/// Length and checksum of a file.
fn digest(path: &Path) -> io::Result<String> {
    let mut file = input_file::open(path)?;
    let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0);
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(format!("{length} bytes, crc32 {:08x}", hasher.finalize())),
            read => {
                hasher.update(&bytes[..read]);
                length += read as u64;
            }
        }
    }
}

#[cfg(test)]
impl Fingerprint {
    /// A fingerprint of vectors of this many values.
    pub fn of_length(length: usize) -> Self {
        let text = |text: &str| text.to_owned();
        let (network, settings) = (text("network"), text("\"settings\""));
        let preprocessing = text("ä");
        Self { network, settings, preprocessing, weights: text("w"), shard: text("1/1"), length }
    }
}
