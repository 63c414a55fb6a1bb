//! Reads the values of a configuration.

use serde_json::{Map, Value};

use super::super::{CheckpointOptions, same_keys};
use super::described::Described;
use super::keys::KEY;
use super::keys::{pool_name, stride_name};
use crate::error::WeightsError;
use crate::image::{Channels, Preprocess};
use crate::network::{NormKind, StrideIn};
use crate::op::PoolWindows;

/// A configuration that is being read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub name: &'a str,
    pub map: &'a Map<String, Value>,
}

/// How a configuration describes the colours of the network's input.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Colours {
    channels: Option<Channels>,
    of_bytes: Option<bool>,
    /// Whether it has a mean. The mean then uses the described order and range.
    has_mean: bool,
}

impl Colours {
    /// Applies the colours to the preprocessing of the same configuration.
    pub fn apply(self, found: Option<Preprocess>) -> Option<Preprocess> {
        if self.channels.is_none_or(|channels| channels == Channels::Rgb)
            && self.of_bytes != Some(true)
        {
            return found;
        }
        let preprocess = found.unwrap_or_default();
        let channels = self.channels.unwrap_or_default();
        if !self.has_mean {
            let preprocess = preprocess.with_channels(channels);
            let of_bytes = self.of_bytes == Some(true);
            return Some(if of_bytes { preprocess.of_bytes() } else { preprocess });
        }
        let unit = if self.of_bytes == Some(true) { 255.0 } else { 1.0 };
        let [mean, std] = [preprocess.mean, preprocess.std].map(|all| all.map(|one| one / unit));
        Some(Preprocess { channels, mean, std, ..preprocess })
    }
}

impl<'a> Reader<'a> {
    fn is_hugging_face(&self) -> bool {
        self.text("model_type") == Some("resnet")
    }

    /// The settings of the network. Does not check whether the network is supported.
    pub fn options(&self) -> Result<CheckpointOptions, WeightsError> {
        let mut options = match self.map.get(KEY) {
            Some(Value::Object(map)) => Reader { name: self.name, map }.ours()?,
            Some(other) => return Err(self.wrong(KEY, other, "an object")),
            None => CheckpointOptions::default(),
        };
        if self.is_hugging_face() {
            let key = "downsample_in_bottleneck";
            let is_v1 = self.value(key, "true or false", Value::as_bool)?.unwrap_or(false);
            options.stride_in =
                options.stride_in.or(Some(if is_v1 { StrideIn::Conv1 } else { StrideIn::Conv2 }));
        }
        match self.output_stride()? {
            // As in timm's ResNet: stages have a stride until the output stride is reached.
            Some(stride @ (8 | 16)) => {
                let replaced = [8, 16, 32].map(|reached| reached > stride).to_vec();
                options.replace_stride_with_dilation =
                    options.replace_stride_with_dilation.or(Some(replaced));
            }
            Some(_) => {
                options.replace_stride_with_dilation =
                    options.replace_stride_with_dilation.or(Some(Vec::new()))
            }
            None => {}
        }
        Ok(options)
    }

    /// The object under [`KEY`].
    fn ours(&self) -> Result<CheckpointOptions, WeightsError> {
        if let Some((key, value)) = self.map.iter().find(|(key, _)| !OURS.contains(&key.as_str())) {
            return Err(self.wrong(&format!("{KEY}.{key}"), value, "no such key"));
        }
        let norm = |value: &Value| {
            NormKind::ALL.into_iter().find(|kind| value.as_str() == Some(kind.name()))
        };
        let eps = |value: &Value| value.as_f64().filter(|eps| *eps >= 0.0);
        let stride = |value: &Value| {
            [StrideIn::Conv1, StrideIn::Conv2]
                .into_iter()
                .find(|known| value.as_str() == Some(stride_name(*known)))
        };
        let pool = |value: &Value| {
            [PoolWindows::Padded, PoolWindows::CeilMode]
                .into_iter()
                .find(|kind| value.as_str() == Some(pool_name(*kind)))
        };
        self.value("activation", "\"relu\"", |value| (value == "relu").then_some(()))?;
        Ok(CheckpointOptions {
            prefix: None,
            key: None,
            norm: self.value(
                "norm",
                "\"BatchNorm2d\", \"FrozenBatchNorm2d\" or \"Identity\"",
                norm,
            )?,
            eps: self.value("eps", "a number, not negative", eps)?,
            stride_in: self.value("stride_in", "\"3x3\" or \"1x1\"", stride)?,
            max_pool: self.value("max_pool", "\"padded\" or \"ceil\"", pool)?,
            replace_stride_with_dilation: self.value("dilation", DILATION, replaced)?,
            multi_grid: self.value("multi_grid", "a list of whole numbers", sizes)?,
        })
    }

    /// The channels and the range of colours under [`KEY`].
    pub fn colours(&self) -> Result<Colours, WeightsError> {
        let Some(Value::Object(map)) = self.map.get(KEY) else { return Ok(Colours::default()) };
        let ours = Reader { name: self.name, map };
        let order = |value: &Value| match value.as_str() {
            Some("RGB") => Some(Channels::Rgb),
            Some("BGR") => Some(Channels::Bgr),
            _ => None,
        };
        let range = |value: &Value| {
            let ends: Vec<f64> =
                value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            [([0.0, 1.0], false), ([0.0, 255.0], true)]
                .into_iter()
                .find_map(|(known, bytes)| (ends == known).then_some(bytes))
        };
        let section = self.map.get("pretrained_cfg").and_then(Value::as_object);
        let section = section.unwrap_or(self.map);
        Ok(Colours {
            channels: ours.value("color_order", "\"RGB\" or \"BGR\"", order)?,
            of_bytes: ours.value("color_range", "[0, 1] or [0, 255]", range)?,
            has_mean: ["mean", "image_mean"].iter().any(|key| section.contains_key(*key)),
        })
    }

    /// Whether the network computes the same as this crate's ResNet, if the configuration describes
    /// a network: by name, by transformers' values, or under [`KEY`].
    pub fn arithmetic(&self) -> Option<Result<Described, WeightsError>> {
        let ours = self.map.get(KEY).and_then(|ours| ours.get("activation")).is_some();
        let checked =
            if self.is_hugging_face() { self.check_hugging_face() } else { self.check_timm() };
        match checked {
            Err(error) => Some(Err(error)),
            // Without a description the next configuration decides.
            Ok(described) => (described != Described::default() || ours).then_some(Ok(described)),
        }
    }

    /// Checks the values of transformers' ResNetConfig that the weights do not show.
    fn check_hugging_face(&self) -> Result<Described, WeightsError> {
        self.check("hidden_act", |value| value == "relu", "\"relu\"")?;
        self.check("downsample_in_first_stage", |value| value == false, "false")?;
        let config = self.name.to_owned();
        let shape = ["layer_type", "depths", "hidden_sizes"].map(|key| self.map.get(key).cloned());
        Ok(Described { config, name: None, is_hugging_face: true, shape })
    }

    /// Checks the name and the arguments of timm's constructor that the weights do not show.
    fn check_timm(&self) -> Result<Described, WeightsError> {
        let name = self.text("architecture").map(str::to_owned);
        if let Some(name) = &name {
            same_keys::check("architecture", name, self.name)?;
        }
        if self.is_timm() {
            self.check("global_pool", is_average, "\"avg\"")?;
        }
        if let Some(args) = self.model_args() {
            let refuse = |(key, value): (&String, &Value)| !is_harmless(key, value);
            if let Some((key, value)) = args.iter().find(|(key, value)| refuse((key, value))) {
                return Err(self.wrong(
                    &format!("model_args.{key}"),
                    value,
                    "the default: the weights do not show it",
                ));
            }
        }
        if name.is_none() {
            return Ok(Described::default());
        }
        // Arguments that change the shape make the name meaningless.
        let shaped = |args: &Map<String, Value>| SHAPES.iter().any(|key| args.contains_key(*key));
        let name = name.filter(|_| !self.model_args().is_some_and(shaped));
        Ok(Described { config: self.name.to_owned(), name, ..Described::default() })
    }

    fn is_timm(&self) -> bool {
        self.text("architecture").is_some() || self.map.contains_key("pretrained_cfg")
    }

    /// timm's `model_args`.
    fn model_args(&self) -> Option<&'a Map<String, Value>> {
        self.map.get("model_args").and_then(Value::as_object).filter(|_| self.is_timm())
    }

    /// timm's `output_stride`.
    fn output_stride(&self) -> Result<Option<u64>, WeightsError> {
        let Some(map) = self.model_args() else { return Ok(None) };
        let known = |value: &Value| value.as_u64().filter(|stride| [8, 16, 32].contains(stride));
        Reader { name: self.name, map }.value("output_stride", "8, 16 or 32", known)
    }

    /// timm's `label_names` or Hugging Face's `id2label`: a list, or an object from number to name.
    pub fn class_names(&self) -> Option<Vec<String>> {
        let inner = self.map.get("pretrained_cfg").and_then(|config| config.get("label_names"));
        [self.map.get("label_names"), inner, self.map.get("id2label")]
            .into_iter()
            .flatten()
            .find_map(class_names)
    }

    pub fn multi_label(&self) -> Option<bool> {
        self.text("problem_type").map(|kind| kind == "multi_label_classification")
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.map.get(key).and_then(Value::as_str)
    }

    /// An optional value, converted; null counts as absent.
    fn value<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| self.wrong(key, value, expected)),
        }
    }

    /// Checks a value, if present.
    fn check(
        &self,
        key: &str,
        is_good: impl Fn(&Value) -> bool,
        expected: &'static str,
    ) -> Result<(), WeightsError> {
        match self.map.get(key) {
            Some(found) if !is_good(found) => Err(self.wrong(key, found, expected)),
            _ => Ok(()),
        }
    }

    fn wrong(&self, key: &str, found: &Value, expected: &'static str) -> WeightsError {
        let found = found.to_string().chars().take(80).collect();
        WeightsError::Config { config: self.name.to_owned(), key: key.to_owned(), found, expected }
    }
}

/// The keys under [`KEY`].
const OURS: [&str; 9] = [
    "activation",
    "dilation",
    "multi_grid",
    "norm",
    "eps",
    "stride_in",
    "max_pool",
    "color_order",
    "color_range",
];

/// Arguments of timm's ResNet that determine shapes of weights.
const SHAPES: [&str; 6] =
    ["block", "layers", "channels", "cardinality", "base_width", "stem_width"];

/// Whether a pooling is global average pooling, or absent.
fn is_average(value: &Value) -> bool {
    matches!(value.as_str(), None | Some("" | "avg" | "fast" | "fastavg"))
}

/// Whether an argument of timm's ResNet can be ignored: the weights show it, it has no effect in
/// eval mode, or it has the default value.
fn is_harmless(key: &str, value: &Value) -> bool {
    match key {
        "output_stride" | "num_classes" | "in_chans" | "block" | "layers" | "channels"
        | "cardinality" | "base_width" | "stem_width" | "drop_rate" | "drop_path_rate"
        | "drop_block_rate" | "zero_init_last" | "pretrained" => true,
        "global_pool" => is_average(value),
        "act_layer" => value.is_null() || value == "relu",
        "stem_type" => matches!(value.as_str(), None | Some("")),
        "block_reduce_first" => value == 1,
        "down_kernel_size" => value == 1,
        _ => value.is_null() || value == false || value.as_object().is_some_and(Map::is_empty),
    }
}

const DILATION: &str =
    "a dilation for each stage, the first 1, each other the one before it or twice that";

/// Converts the dilation of each stage to `replace_stride_with_dilation`.
fn replaced(value: &Value) -> Option<Vec<bool>> {
    let dilations = sizes(value)?;
    if dilations.first() != Some(&1) {
        return None;
    }
    let step = |pair: &[usize]| match pair {
        [before, after] if before == after => Some(false),
        [before, after] if before.checked_mul(2) == Some(*after) => Some(true),
        _ => None,
    };
    dilations.windows(2).map(step).collect()
}

fn sizes(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(|value| usize::try_from(value.as_u64()?).ok()).collect()
}

/// `["cat", ...]`, or `{"0": "cat", ...}`.
fn class_names(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(names) => names.iter().map(|name| Some(name.as_str()?.to_owned())).collect(),
        Value::Object(map) => (0..map.len())
            .map(|class| Some(map.get(&class.to_string())?.as_str()?.to_owned()))
            .collect(),
        _ => None,
    }
}
