//! What a model's configuration says of it that the shapes of its weights do not: where blocks stride, dilations, eps, how
//! images are prepared, the names of the classes.
//!
//! Three kinds of configuration are read: timm's `config.json`, Hugging Face's `config.json` with its
//! `preprocessor_config.json`, and ours, which is timm's with one more key, [`KEY`]. Ours stands in the metadata of a
//! safetensors file too, under [`METADATA`], so that the file alone is enough.

mod described;
mod reader;
mod written;

use std::path::Path;

use serde_json::{Map, Value};

use self::described::Described;
use self::reader::Reader;
use super::{CheckpointOptions, StateDict, same_keys};
use crate::error::{Error, PictureError, Result, WeightsError};
use crate::network::ResNet;
use crate::picture::{self, ConfiguredPreprocess, Preprocess};

/// The key of a `config.json` under which we keep what timm's format has no place for:
///
/// | key | value |
/// | --- | --- |
/// | `dilation` | the dilation of each stage, e.g. `[1, 1, 2, 4]`: the one before it, or twice that, which replaces the stage's stride, as torchvision's `replace_stride_with_dilation` does |
/// | `multi_grid` | DeepLab's factors for the dilations of the last stage's blocks; empty without |
/// | `norm` | `BatchNorm2d`, `FrozenBatchNorm2d` or `Identity` |
/// | `eps` | added to the variance by the norms; absent for `Identity` |
/// | `stride_in` | the convolution of a Bottleneck that strides: `3x3` or `1x1` |
/// | `activation` | `relu`: with this key the whole network is described, and no other configuration is asked whether it computes what ours do |
/// | `max_pool` | `padded` (`MaxPool2d(3, 2, padding=1)`) or `ceil` (`MaxPool2d(3, 2, ceil_mode=True)`) |
/// | `color_order` | `RGB` |
/// | `color_range` | `[0, 1]`: the values of a pixel before the mean is subtracted |
///
/// Every value may be absent, which leaves it open. Another key is an error: it may be one that a later version needs.
pub const KEY: &str = "wgpu_bottleneck";

/// The key of a safetensors file's metadata whose text is the same configuration.
pub const METADATA: &str = "wgpu_bottleneck";

/// The names of classes, in order, and who says them.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassNames {
    /// A name for each class.
    pub names: Vec<String>,
    /// The file, or the file's metadata.
    pub source: String,
}

/// What a model's configuration says. Every value may be left open; [`ModelConfig::or`] fills those from another one.
#[derive(Debug, Clone, Default)]
pub struct ModelConfig {
    options: CheckpointOptions,
    /// Who says it.
    options_source: String,
    /// Whether the network computes what ours does from the same weights; `None` where nothing is said of that.
    arithmetic: Option<Result<Described, WeightsError>>,
    preprocess: Option<Result<ConfiguredPreprocess, PictureError>>,
    /// Who says how images are prepared.
    preprocess_source: String,
    class_names: Option<ClassNames>,
    multi_label: Option<bool>,
}

impl ModelConfig {
    /// What is said of the weights in a file: by its metadata (safetensors) or by the entry `arch` of a `.pth` file, then by
    /// the configurations in its folder.
    ///
    /// # Errors
    /// As [`ModelConfig::in_metadata`] and [`ModelConfig::in_folder_of`].
    pub fn of(path: impl AsRef<Path>, dict: &StateDict) -> Result<Self> {
        let path = path.as_ref();
        let inside = Self::in_metadata_of(path, dict)?;
        // What trained the network says everything: whatever lies in the folder is of others.
        if inside.is_complete() { Ok(inside) } else { Ok(inside.or(Self::in_folder_of(path)?)) }
    }

    /// Whether no value is open.
    fn is_complete(&self) -> bool {
        let CheckpointOptions { norm, stride_in, max_pool, replace_stride_with_dilation, .. } = &self.options;
        let network = norm.is_some() && stride_in.is_some() && max_pool.is_some();
        let network = network && replace_stride_with_dilation.is_some() && self.arithmetic.is_some();
        network && self.preprocess.is_some() && self.class_names.is_some()
    }

    /// What the metadata of a safetensors file says, or the entry `arch` of a `.pth` file.
    ///
    /// # Errors
    /// [`WeightsError::ConfigFormat`] for metadata that is not JSON, [`WeightsError::Config`] for a value that cannot be.
    pub fn in_metadata(dict: &StateDict) -> Result<Self> {
        Self::in_metadata_of(Path::new("the file"), dict)
    }

    /// The same; the path is for messages.
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

    /// What the configurations in the folder of a file of weights say: for images `preprocessor_config.json`, then
    /// `config.json`; for the rest `config.json`. Nothing where there is neither.
    ///
    /// # Errors
    /// As [`ModelConfig::open`], for `config.json`.
    pub fn in_folder_of(weights: impl AsRef<Path>) -> Result<Self> {
        let weights = weights.as_ref();
        let folder = if weights.is_dir() { weights } else { weights.parent().unwrap_or(Path::new("")) };
        let path = folder.join("config.json");
        // A link that leads nowhere is there, and an error: what it should say is not known.
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let config = if is_there(&path) { Self::open(&path)? } else { Self::default() };
        let processor = folder.join("preprocessor_config.json");
        if !is_there(&processor) {
            return Ok(config);
        }
        let images = match Preprocess::configured(&processor) {
            Ok(found) => Ok(found),
            Err(Error::Picture(error)) => Err(error),
            Err(error) => {
                Err(PictureError::ConfigFormat { config: processor.display().to_string(), reason: error.to_string() })
            }
        };
        let source = processor.display().to_string();
        Ok(Self { preprocess: Some(images), preprocess_source: source, ..Self::default() }.or(config))
    }

    /// What a configuration file says: ours, timm's, or one of Hugging Face's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`WeightsError::ConfigFormat`] for what is not JSON; [`WeightsError::Config`] for a value that cannot be.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), None)
    }

    /// The same for a file of weights: where neither the configuration nor the `config.json` in its folder names the version of
    /// transformers, it is that of the `config.json` in the folder of the weights.
    ///
    /// # Errors
    /// As [`ModelConfig::open`].
    pub fn open_for(path: impl AsRef<Path>, weights: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Some(weights.as_ref()))
    }

    fn open_with(path: &Path, weights: Option<&Path>) -> Result<Self> {
        let name = path.display().to_string();
        let map = parse(&name, &picture::read_config(path)?)?;
        let version = picture::transformers_version(&map, Some(path));
        let version = version.or_else(|| picture::transformers_version(&Map::new(), weights));
        Self::from_map(&name, &map, version.as_deref())
    }

    /// The same of a text; `name` says whose it is, in errors.
    ///
    /// # Errors
    /// As [`ModelConfig::open`].
    pub fn from_text(name: &str, text: &str) -> Result<Self> {
        let map = parse(name, text)?;
        let version = picture::transformers_version(&map, None);
        Self::from_map(name, &map, version.as_deref())
    }

    fn from_map(name: &str, map: &Map<String, Value>, transformers_version: Option<&str>) -> Result<Self> {
        let reader = Reader { name, map };
        Ok(Self {
            options: reader.options()?,
            options_source: name.to_owned(),
            arithmetic: reader.arithmetic(),
            preprocess: picture::of_config(name, map, transformers_version),
            preprocess_source: name.to_owned(),
            class_names: reader.class_names().map(|names| ClassNames { names, source: name.to_owned() }),
            multi_label: reader.multi_label(),
        })
    }

    /// What a network says of itself: all but its preprocessing and the names of its classes.
    #[must_use]
    pub fn of_network(network: &ResNet) -> Self {
        let options = CheckpointOptions::of_network(network);
        Self { options, arithmetic: Some(Ok(Described::default())), ..Self::default() }
    }

    /// This one, and where it leaves a value open, the other's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let preprocess_source =
            if self.preprocess.is_some() { self.preprocess_source } else { other.preprocess_source };
        let sources = [(&self.options, self.options_source), (&other.options, other.options_source)];
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

    /// What it says of the network.
    ///
    /// # Errors
    /// [`WeightsError::Config`] for a network that has the same weights as one of ours but computes something else with them:
    /// another activation, a first stage that strides, anti-aliased strides.
    pub fn options(&self) -> Result<&CheckpointOptions, WeightsError> {
        self.arithmetic.clone().transpose()?;
        Ok(&self.options)
    }

    /// The same without what it says of the network's shape: another configuration was given, and this one may be of another network.
    /// A refusal stays.
    #[must_use]
    pub fn without_description(mut self) -> Self {
        self.arithmetic.take_if(|arithmetic| arithmetic.is_ok());
        self
    }

    /// Compares what a configuration says of a network's shape with the network that the weights are of.
    ///
    /// # Errors
    /// As [`ModelConfig::options`]; [`WeightsError::OtherNetwork`] for the configuration of another network.
    pub(super) fn check_network(&self, network: &ResNet) -> Result<(), WeightsError> {
        match self.arithmetic.clone().transpose()? {
            Some(described) => described.check(network),
            None => Ok(()),
        }
    }

    /// An error about a network that these options lead to; it names whoever says them.
    pub(super) fn blame(&self, error: Error) -> Error {
        if self.options == CheckpointOptions::default() || self.options_source.is_empty() {
            return error;
        }
        let (config, reason) = (self.options_source.clone(), error.to_string());
        WeightsError::Configured { config, reason }.into()
    }

    /// How images are prepared; `None` where nothing is said of it.
    ///
    /// # Errors
    /// A [`PictureError`] that names the value which asks for what is not done here.
    pub fn preprocess(&self) -> Result<Option<&ConfiguredPreprocess>, PictureError> {
        self.preprocess.as_ref().map(|found| found.as_ref().map_err(Clone::clone)).transpose()
    }

    /// Who says how images are prepared: a file's name, or whose metadata.
    #[must_use]
    pub fn preprocess_source(&self) -> &str {
        &self.preprocess_source
    }

    /// The names of the classes, and who says them.
    #[must_use]
    pub fn class_names(&self) -> Option<&ClassNames> {
        self.class_names.as_ref()
    }

    /// Whether each class has a probability of its own (a sigmoid), as Hugging Face's `problem_type` says, rather than one of
    /// all classes together (a softmax).
    #[must_use]
    pub fn is_multi_label(&self) -> bool {
        self.multi_label == Some(true)
    }

    /// The same with this preprocessing.
    #[must_use]
    pub fn with_preprocess(mut self, preprocess: Preprocess, source: &str) -> Self {
        self.preprocess = Some(Ok(ConfiguredPreprocess { preprocess, rule: None }));
        self.preprocess_source = source.to_owned();
        self
    }

    /// The same with these names of classes.
    #[must_use]
    pub fn with_class_names(mut self, names: Vec<String>, source: &str) -> Self {
        self.class_names = Some(ClassNames { names, source: source.to_owned() });
        self
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
