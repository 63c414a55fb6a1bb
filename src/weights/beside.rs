//! What a configuration beside the weights says of a network that no shape of its weights does.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::{Map, Value};

use super::CheckpointOptions;
use crate::error::{Error, WeightsError};
use crate::network::StrideIn;

/// A configuration is a page of text.
const MAX_BYTES: u64 = 1 << 20;

impl CheckpointOptions {
    /// What the `config.json` beside a file of weights says, or in a folder of them: Hugging Face's `downsample_in_bottleneck`.
    /// The default where there is none, or one of another kind.
    ///
    /// # Errors
    /// [`Error::Io`]; [`WeightsError::ConfigFormat`] for what is not JSON; [`WeightsError::Config`] for a network that has the
    /// same weights but computes something else: another activation, a first stage that strides, timm's anti-aliased ResNets.
    pub fn beside(weights: impl AsRef<Path>) -> Result<Self, Error> {
        let weights = weights.as_ref();
        let folder = if weights.is_dir() { weights } else { weights.parent().unwrap_or(Path::new("")) };
        let path = folder.join("config.json");
        if !path.is_file() {
            return Ok(Self::default());
        }
        let io = |source| Error::Io { path: path.clone(), source };
        let mut text = String::new();
        File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text)).map_err(io)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(io(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MAX_BYTES} bytes"))));
        }
        let name = path.display().to_string();
        match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => Ok(Config { name, map }.options()?),
            Ok(_) => Err(WeightsError::ConfigFormat { config: name, reason: "expected an object".to_owned() }.into()),
            Err(error) => Err(WeightsError::ConfigFormat { config: name, reason: error.to_string() }.into()),
        }
    }
}

/// A configuration and what it is called.
struct Config {
    name: String,
    map: Map<String, Value>,
}

impl Config {
    fn options(&self) -> Result<CheckpointOptions, WeightsError> {
        if self.text("model_type") == Some("resnet") {
            self.hugging_face()
        } else {
            self.check_timm()?;
            Ok(CheckpointOptions::default())
        }
    }

    /// transformers' ResNetConfig, as far as it does not show in the weights.
    fn hugging_face(&self) -> Result<CheckpointOptions, WeightsError> {
        self.check("hidden_act", |value| value == "relu", "\"relu\"")?;
        self.check("downsample_in_first_stage", |value| value == false, "false")?;
        let key = "downsample_in_bottleneck";
        self.check(key, Value::is_boolean, "true or false")?;
        let is_v1 = self.map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let stride_in = if is_v1 { StrideIn::Conv1 } else { StrideIn::Conv2 };
        Ok(CheckpointOptions { stride_in, ..CheckpointOptions::default() })
    }

    /// timm's names tell what has no weights: resnetblur50 and resnetaa50 blur before they stride.
    fn check_timm(&self) -> Result<(), WeightsError> {
        let is_plain =
            |value: &Value| value.as_str().is_none_or(|name| !name.contains("blur") && !name.contains("netaa"));
        self.check("architecture", is_plain, "a network that does not blur before it strides")
    }

    /// Holds a value, if there is one, against what is supported.
    fn check(&self, key: &str, is_good: impl Fn(&Value) -> bool, expected: &'static str) -> Result<(), WeightsError> {
        match self.map.get(key) {
            Some(found) if !is_good(found) => {
                let (config, key, found) = (self.name.clone(), key.to_owned(), found.to_string());
                Err(WeightsError::Config { config, key, found, expected })
            }
            _ => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Result<CheckpointOptions, WeightsError> {
        match serde_json::from_str(json) {
            Ok(Value::Object(map)) => Config { name: "config.json".to_owned(), map }.options(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn where_hugging_face_strides_is_read() -> Result<(), WeightsError> {
        let v1 = options(r#"{"model_type": "resnet", "hidden_act": "relu", "downsample_in_bottleneck": true}"#)?;
        assert_eq!(v1.stride_in, StrideIn::Conv1);
        for text in [r#"{"model_type": "resnet", "downsample_in_bottleneck": false}"#, r#"{"model_type": "resnet"}"#] {
            assert_eq!(options(text)?.stride_in, StrideIn::Conv2);
        }
        // Of another model, or of timm's plain ones, nothing is known.
        for text in ["{}", r#"{"model_type": "vit", "hidden_act": "gelu"}"#, r#"{"architecture": "tv_resnet50"}"#] {
            assert_eq!(options(text)?, CheckpointOptions::default());
        }
        Ok(())
    }

    #[test]
    fn what_no_weight_shows_is_refused() {
        for (text, key) in [
            (r#"{"model_type": "resnet", "hidden_act": "gelu"}"#, "hidden_act"),
            (r#"{"model_type": "resnet", "downsample_in_first_stage": true}"#, "downsample_in_first_stage"),
            (r#"{"model_type": "resnet", "downsample_in_bottleneck": "yes"}"#, "downsample_in_bottleneck"),
            (r#"{"architecture": "resnetblur50"}"#, "architecture"),
            (r#"{"architecture": "resnetaa50"}"#, "architecture"),
        ] {
            assert!(matches!(options(text), Err(WeightsError::Config { key: named, .. }) if named == key), "{text}");
        }
    }
}
