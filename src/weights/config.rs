//! A model's configuration: the settings that the shapes of its weights do not show (stride
//! position, dilation, eps), its preprocessing and its class names.
//!
//! Three formats are supported: timm's `config.json`, Hugging Face's `config.json` and
//! `preprocessor_config.json`, and ours, which is timm's with the additional key [`KEY`]. Our
//! format is also stored in the metadata of a safetensors file, under [`METADATA`], so that the
//! file alone is enough.

mod described;
mod keys;
mod reader;
mod written;

use std::path::Path;

use serde_json::{Map, Value};

pub use keys::{KEY, METADATA};

use self::described::Described;
use self::reader::{Colours, Reader};
use super::{CheckpointOptions, StateDict, same_keys};
use crate::error::{Error, ImageError, Result, WeightsError};
use crate::image::{self, ConfiguredPreprocess, Preprocess};
use crate::network::ResNet;

/// Class names in order, and their source.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassNames {
    /// One name per class.
    pub names: Vec<String>,
    /// The file they come from, or `the metadata of FILE`.
    pub source: String,
}

/// A model's configuration. Every value is optional; [`ModelConfig::or`] fills missing values from
/// another configuration.
#[derive(Debug, Clone, Default)]
pub struct ModelConfig {
    options: CheckpointOptions,
    /// The source of `options`.
    options_source: String,
    /// Whether the network computes the same as [`ResNet`] with the same weights; `None` if the
    /// configuration does not describe a network.
    arithmetic: Option<Result<Described, WeightsError>>,
    preprocess: Option<Result<ConfiguredPreprocess, ImageError>>,
    /// The source of `preprocess`.
    preprocess_source: String,
    class_names: Option<ClassNames>,
    multi_label: Option<bool>,
}

impl ModelConfig {
    /// The configuration of a file of weights: its metadata (safetensors) or its `arch` entry
    /// (`.pth`), completed by the configuration files in its folder.
    ///
    /// # Errors
    /// As [`ModelConfig::in_metadata`] and [`ModelConfig::in_folder_of`].
    pub fn of(path: impl AsRef<Path>, dict: &StateDict) -> Result<Self> {
        let path = path.as_ref();
        let inside = Self::in_metadata_of(path, dict)?;
        // Nothing is missing, so the files in the folder are not read.
        if inside.is_complete() { Ok(inside) } else { Ok(inside.or(Self::in_folder_of(path)?)) }
    }

    /// Whether every value is present.
    fn is_complete(&self) -> bool {
        let CheckpointOptions { norm, stride_in, max_pool, replace_stride_with_dilation, .. } =
            &self.options;
        let network = norm.is_some() && stride_in.is_some() && max_pool.is_some();
        let network =
            network && replace_stride_with_dilation.is_some() && self.arithmetic.is_some();
        network && self.preprocess.is_some() && self.class_names.is_some()
    }

    /// The configuration in the metadata of a safetensors file, or in the `arch` entry of a `.pth`
    /// file.
    ///
    /// # Errors
    /// [`WeightsError::ConfigFormat`] if the metadata are not JSON, [`WeightsError::Config`] for an
    /// invalid value.
    pub fn in_metadata(dict: &StateDict) -> Result<Self> {
        Self::in_metadata_of(Path::new("the file"), dict)
    }

    /// Same as [`ModelConfig::in_metadata`]; `path` names the file in errors.
    ///
    /// # Errors
    /// As [`ModelConfig::in_metadata`].
    pub fn in_metadata_of(path: impl AsRef<Path>, dict: &StateDict) -> Result<Self> {
        let name = path.as_ref().display();
        let arch = dict.arch().map(|arch| same_keys::check("arch", arch, &name.to_string()));
        if let Some(Err(refused)) = arch {
            return Ok(Self { arithmetic: Some(Err(refused)), ..Self::default() });
        }
        match dict.metadata(METADATA) {
            Some(text) => Self::from_text(&format!("the metadata of {name}"), text),
            None => Ok(Self::default()),
        }
    }

    /// The configuration files in the folder of a file of weights: `config.json`, and for the
    /// preprocessing `preprocessor_config.json` if it exists. Empty if there is neither.
    ///
    /// # Errors
    /// As [`ModelConfig::open`], for `config.json`.
    pub fn in_folder_of(weights: impl AsRef<Path>) -> Result<Self> {
        let weights = weights.as_ref();
        let folder =
            if weights.is_dir() { weights } else { weights.parent().unwrap_or(Path::new("")) };
        let path = folder.join("config.json");
        // A broken link counts as present, and is an error: its content is unknown.
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let config = if is_there(&path) { Self::open(&path)? } else { Self::default() };
        let processor = folder.join("preprocessor_config.json");
        if !is_there(&processor) {
            return Ok(config);
        }
        let images = match Preprocess::configured(&processor) {
            Ok(found) => Ok(found),
            Err(Error::Image(error)) => Err(error),
            Err(error) => Err(ImageError::ConfigFormat {
                config: processor.display().to_string(),
                reason: error.to_string(),
            }),
        };
        let source = processor.display().to_string();
        Ok(Self { preprocess: Some(images), preprocess_source: source, ..Self::default() }
            .or(config))
    }

    /// Reads a configuration file: ours, timm's, or one of Hugging Face's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`WeightsError::ConfigFormat`] if the file is not JSON;
    /// [`WeightsError::Config`] for an invalid value.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), None)
    }

    /// Same as [`ModelConfig::open`]. If neither the file nor the `config.json` in its folder gives
    /// the version of transformers, the version is read from the `config.json` in the folder of
    /// `weights`.
    ///
    /// # Errors
    /// As [`ModelConfig::open`].
    pub fn open_for(path: impl AsRef<Path>, weights: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Some(weights.as_ref()))
    }

    fn open_with(path: &Path, weights: Option<&Path>) -> Result<Self> {
        let name = path.display().to_string();
        let map = parse(&name, &image::read_config(path)?)?;
        let version = image::transformers_version(&map, Some(path));
        let version = version.or_else(|| image::transformers_version(&Map::new(), weights));
        Self::from_map(&name, &map, version.as_deref())
    }

    /// Parses the text of a configuration; `name` identifies it in errors.
    ///
    /// # Errors
    /// As [`ModelConfig::open`].
    pub fn from_text(name: &str, text: &str) -> Result<Self> {
        let map = parse(name, text)?;
        let version = image::transformers_version(&map, None);
        Self::from_map(name, &map, version.as_deref())
    }

    fn from_map(
        name: &str,
        map: &Map<String, Value>,
        transformers_version: Option<&str>,
    ) -> Result<Self> {
        let reader = Reader { name, map };
        Ok(Self {
            options: reader.options()?,
            options_source: name.to_owned(),
            arithmetic: reader.arithmetic(),
            preprocess: coloured(
                reader.colours()?,
                image::of_config(name, map, transformers_version),
            ),
            preprocess_source: name.to_owned(),
            class_names: reader
                .class_names()
                .map(|names| ClassNames { names, source: name.to_owned() }),
            multi_label: reader.multi_label(),
        })
    }

    /// The configuration of a network, without preprocessing and class names.
    #[must_use]
    pub fn of_network(network: &ResNet) -> Self {
        let options = CheckpointOptions::of_network(network);
        Self { options, arithmetic: Some(Ok(Described::default())), ..Self::default() }
    }

    /// This configuration, with missing values taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let preprocess_source = if self.preprocess.is_some() {
            self.preprocess_source
        } else {
            other.preprocess_source
        };
        let sources =
            [(&self.options, self.options_source), (&other.options, other.options_source)];
        let says = |(options, source): (&CheckpointOptions, String)| {
            (*options != CheckpointOptions::default()).then_some(source)
        };
        Self {
            options_source: sources.into_iter().filter_map(says).collect::<Vec<_>>().join(" and "),
            options: self.options.or(other.options),
            arithmetic: self.arithmetic.or(other.arithmetic),
            preprocess: self.preprocess.or(other.preprocess),
            preprocess_source,
            class_names: self.class_names.or(other.class_names),
            multi_label: self.multi_label.or(other.multi_label),
        }
    }

    /// The settings of the network.
    ///
    /// # Errors
    /// [`WeightsError::Config`] if the network computes something other than [`ResNet`] with the
    /// same weights: another activation, a strided first stage, anti-aliasing.
    pub fn options(&self) -> Result<&CheckpointOptions, WeightsError> {
        self.arithmetic.clone().transpose()?;
        Ok(&self.options)
    }

    /// The source of the network's settings: a file name, `the metadata of FILE`, or both, joined
    /// by "and". Empty without settings.
    #[must_use]
    pub fn options_source(&self) -> &str {
        if self.options == CheckpointOptions::default() { "" } else { &self.options_source }
    }

    /// This configuration without its description of the network's shape, for a folder whose
    /// configuration may belong to another network. An error about the arithmetic is kept.
    #[must_use]
    pub fn without_description(mut self) -> Self {
        self.arithmetic.take_if(|arithmetic| arithmetic.is_ok());
        self
    }

    /// Compares the described shape with the network found in the weights.
    ///
    /// # Errors
    /// As [`ModelConfig::options`]; [`WeightsError::OtherNetwork`] if the configuration describes
    /// another network.
    pub(super) fn check_network(&self, network: &ResNet) -> Result<(), WeightsError> {
        match self.arithmetic.clone().transpose()? {
            Some(described) => described.check(network),
            None => Ok(()),
        }
    }

    /// Adds the source of the options to an error that they caused.
    pub(super) fn blame(&self, error: Error) -> Error {
        if self.options == CheckpointOptions::default() || self.options_source.is_empty() {
            return error;
        }
        let (config, reason) = (self.options_source.clone(), error.to_string());
        WeightsError::Configured { config, reason }.into()
    }

    /// The preprocessing; `None` if the configuration has none.
    ///
    /// # Errors
    /// An [`ImageError`] that names the unsupported value.
    pub fn preprocess(&self) -> Result<Option<&ConfiguredPreprocess>, ImageError> {
        self.preprocess.as_ref().map(|found| found.as_ref().map_err(Clone::clone)).transpose()
    }

    /// The source of the preprocessing: a file name, or `the metadata of FILE`.
    #[must_use]
    pub fn preprocess_source(&self) -> &str {
        &self.preprocess_source
    }

    /// The class names and their source.
    #[must_use]
    pub fn class_names(&self) -> Option<&ClassNames> {
        self.class_names.as_ref()
    }

    /// Whether the network is a multi-label classifier (Hugging Face's `problem_type`): each output
    /// is a sigmoid, and there is no softmax over the classes.
    #[must_use]
    pub fn is_multi_label(&self) -> bool {
        self.multi_label == Some(true)
    }

    /// This configuration with another preprocessing.
    #[must_use]
    pub fn with_preprocess(mut self, preprocess: Preprocess, source: &str) -> Self {
        self.preprocess = Some(Ok(ConfiguredPreprocess { preprocess, rule: None }));
        self.preprocess_source = source.to_owned();
        self
    }

    /// This configuration with other class names.
    #[must_use]
    pub fn with_class_names(mut self, names: Vec<String>, source: &str) -> Self {
        self.class_names = Some(ClassNames { names, source: source.to_owned() });
        self
    }
}

/// Applies a configuration's colours to the preprocessing of the same configuration.
fn coloured(
    colours: Colours,
    found: Option<Result<ConfiguredPreprocess, ImageError>>,
) -> Option<Result<ConfiguredPreprocess, ImageError>> {
    match found {
        Some(Ok(ConfiguredPreprocess { preprocess, rule })) => {
            let preprocess = colours.apply(Some(preprocess)).unwrap_or(preprocess);
            Some(Ok(ConfiguredPreprocess { preprocess, rule }))
        }
        Some(Err(error)) => Some(Err(error)),
        None => colours
            .apply(None)
            .map(|preprocess| Ok(ConfiguredPreprocess { preprocess, rule: None })),
    }
}

fn parse(name: &str, text: &str) -> Result<Map<String, Value>, WeightsError> {
    let refuse = |reason| WeightsError::ConfigFormat { config: name.to_owned(), reason };
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(refuse("expected an object".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}
