//! Preprocessing from other libraries' configurations: timm's `config.json` and Hugging Face's
//! `preprocessor_config.json`.
//!
//! A value that requires unsupported preprocessing is an error that names it. It is never ignored,
//! because slightly wrong input gives slightly wrong results, which are hard to notice.

mod hugging_face;
mod timm;

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Preprocess, file};
use crate::error::{Error, ImageError};

/// Maximum size of a configuration in bytes; those with thousands of labels have some hundred
/// kilobytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The preprocessing that a configuration specifies.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfiguredPreprocess {
    /// The preprocessing.
    pub preprocess: Preprocess,
    /// The version-dependent rule that was applied, as a sentence; `None` if versions do not
    /// differ.
    pub rule: Option<String>,
}

impl Preprocess {
    /// The preprocessing of a configuration file, timm's or Hugging Face's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`ImageError::ConfigFormat`] if the file is not JSON;
    /// [`ImageError::Config`] if a value is missing or unsupported; [`ImageError::Setting`].
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::configured(path)?.preprocess)
    }

    /// Same as [`Preprocess::from_config`], with the rule that was applied. Hugging Face's image
    /// processors depend on the version of transformers, which is read from the file or from the
    /// `config.json` in its folder.
    ///
    /// # Errors
    /// As [`Preprocess::from_config`].
    pub fn configured(path: impl AsRef<Path>) -> Result<ConfiguredPreprocess, Error> {
        let path = path.as_ref();
        let config = Config::open(path)?;
        let version = transformers_version(&config.map, Some(path));
        Ok(config.any(version.as_deref())?)
    }

    /// Parses the text of a configuration, timm's or Hugging Face's.
    ///
    /// # Errors
    /// As [`Preprocess::from_config`].
    pub fn from_config_text(json: &str) -> Result<Self, ImageError> {
        let config = Config::parse("configuration", json)?;
        let version = transformers_version(&config.map, None);
        Ok(config.any(version.as_deref())?.preprocess)
    }
}

/// The preprocessing in a configuration, if there is one. `name` identifies the configuration in
/// errors.
pub(crate) fn of_config(
    name: &str,
    map: &Map<String, Value>,
    transformers_version: Option<&str>,
) -> Option<Result<ConfiguredPreprocess, ImageError>> {
    let config = Config { name: name.to_owned(), map: map.clone() };
    (config.is_timm() || config.class().is_some()).then(|| config.any(transformers_version))
}

/// The version of transformers in a configuration, or in the `config.json` in the folder of its
/// file.
pub(crate) fn transformers_version(
    map: &Map<String, Value>,
    file: Option<&Path>,
) -> Option<String> {
    let named =
        |map: &Map<String, Value>| Some(map.get("transformers_version")?.as_str()?.to_owned());
    // An unreadable config.json is reported where its other values are needed.
    named(map).or_else(|| named(&Config::open(&file?.with_file_name("config.json")).ok()?.map))
}

/// The text of a configuration file.
pub(crate) fn read_config(path: &Path) -> Result<String, Error> {
    let bytes = file::read(path, "a configuration", MAX_CONFIG_BYTES)?;
    let no_text = |error| Error::Io {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    };
    String::from_utf8(bytes).map_err(no_text)
}

/// A configuration and its name.
#[derive(Debug)]
struct Config {
    name: String,
    map: Map<String, Value>,
}

impl Config {
    fn parse(name: &str, text: &str) -> Result<Self, ImageError> {
        let refuse = |reason| ImageError::ConfigFormat { config: name.to_owned(), reason };
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self { name: name.to_owned(), map }),
            Ok(_) => Err(refuse("expected an object".to_owned())),
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::parse(&path.display().to_string(), &read_config(path)?)?)
    }

    /// Parses a configuration of either format.
    fn any(&self, transformers_version: Option<&str>) -> Result<ConfiguredPreprocess, ImageError> {
        if self.is_timm() {
            Ok(ConfiguredPreprocess { preprocess: self.timm()?, rule: None })
        } else {
            self.hugging_face(transformers_version)
        }
    }

    fn is_timm(&self) -> bool {
        self.map.contains_key("pretrained_cfg")
            || (self.map.contains_key("input_size") && self.class().is_none())
    }

    fn wrong(&self, key: &str, found: Option<&Value>, expected: &'static str) -> ImageError {
        let found = found.map_or_else(
            || "missing".to_owned(),
            |value| value.to_string().chars().take(80).collect(),
        );
        ImageError::Config { config: self.name.clone(), key: key.to_owned(), found, expected }
    }

    /// An optional value, converted; null counts as absent.
    fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ImageError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                convert(value).map(Some).ok_or_else(|| self.wrong(key, Some(value), expected))
            }
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ImageError> {
        self.optional(key, "true or false", Value::as_bool)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ImageError> {
        self.optional(key, "a number", Value::as_f64)
    }

    fn text(&self, key: &str) -> Result<Option<&str>, ImageError> {
        self.optional(key, "a text", Value::as_str)
    }

    /// A number for each of red, green and blue, or one for all three.
    fn colours(&self, key: &str) -> Result<Option<[f32; 3]>, ImageError> {
        self.optional(key, "three numbers", |value| match value {
            Value::Array(values) => {
                let values: Vec<f32> =
                    values.iter().map(|v| Some(v.as_f64()? as f32)).collect::<Option<_>>()?;
                match values[..] {
                    [only] => Some([only; 3]),
                    _ => values.try_into().ok(),
                }
            }
            other => other.as_f64().map(|value| [value as f32; 3]),
        })
    }

    /// A size in pixels.
    fn side(&self, key: &str, value: &Value) -> Result<u32, ImageError> {
        let side =
            value.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
        side.ok_or_else(|| self.wrong(key, Some(value), "a size in pixels"))
    }

    /// A size divided by the fraction of it that is kept, truncated to whole pixels.
    fn divided(&self, side: u32, share: f64) -> Result<u32, ImageError> {
        let divided = f64::from(side) / share;
        // Also rejects values that are not numbers.
        if divided >= 1.0 && divided < f64::from(u32::MAX) {
            return Ok(divided as u32);
        }
        Err(self.wrong(
            "crop_pct",
            self.map.get("crop_pct"),
            "the share of the resized image that is kept",
        ))
    }

    /// Checks the preprocessing; an invalid setting is reported as a value of this configuration.
    fn checked(&self, preprocess: Preprocess) -> Result<Preprocess, ImageError> {
        match preprocess.check() {
            Ok(()) => Ok(preprocess),
            Err(ImageError::Setting { setting, found, expected }) => {
                let (config, key) = (self.name.clone(), setting.to_owned());
                Err(ImageError::Config { config, key, found, expected })
            }
            Err(other) => Err(other),
        }
    }
}
