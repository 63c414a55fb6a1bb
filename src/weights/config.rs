//! What a model's configuration says of it that the shapes of its weights do not: where blocks stride, dilations, eps, how
//! images are prepared, the names of the classes.
//!
//! Three kinds of configuration are read: timm's `config.json`, Hugging Face's `config.json` with its
//! `preprocessor_config.json`, and ours, which is timm's with one more key, [`KEY`]. Ours stands in the metadata of a
//! safetensors file too, under [`METADATA`], so that the file alone is enough.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{CheckpointOptions, StateDict, same_keys};
use crate::error::{Error, Result, WeightsError};
use crate::network::{NormKind, ResNet, StrideIn};
use crate::op::PoolWindows;
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
/// | `max_pool` | `padded` (`MaxPool2d(3, 2, padding=1)`) or `ceil` (`MaxPool2d(3, 2, ceil_mode=True)`) |
/// | `color_order` | `RGB` |
/// | `color_range` | `[0, 1]`: the values of a pixel before the mean is subtracted |
///
/// Every value may be absent, which leaves it open. Another key is an error: it may be one that a later version needs.
pub const KEY: &str = "bottleneck";

/// The key of a safetensors file's metadata whose text is the same configuration.
pub const METADATA: &str = "config";

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
    /// Whether the network computes what we compute from the same weights; `None` where nothing is said of the network.
    arithmetic: Option<Result<(), WeightsError>>,
    preprocess: Option<Result<ConfiguredPreprocess, crate::error::PictureError>>,
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
        let inside = Self::in_metadata_of(&format!("the metadata of {}", path.display()), dict)?;
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
        Self::in_metadata_of("the file's metadata", dict)
    }

    fn in_metadata_of(name: &str, dict: &StateDict) -> Result<Self> {
        if let Some(refused) = dict.arch().and_then(|arch| same_keys::check("arch", arch, name).err()) {
            return Ok(Self { arithmetic: Some(Err(refused)), ..Self::default() });
        }
        match dict.metadata(METADATA) {
            Some(text) => Self::from_text(name, text),
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
        let config = if path.is_file() { Self::open(&path)? } else { Self::default() };
        let processor = folder.join("preprocessor_config.json");
        if !processor.is_file() {
            return Ok(config);
        }
        let images = match Preprocess::configured(&processor) {
            Ok(found) => Ok(found),
            Err(Error::Picture(error)) => Err(error),
            Err(error) => Err(crate::error::PictureError::ConfigFormat {
                config: processor.display().to_string(),
                reason: error.to_string(),
            }),
        };
        let source = processor.display().to_string();
        Ok(Self { preprocess: Some(images), preprocess_source: source, ..Self::default() }.or(config))
    }

    /// What a configuration file says: ours, timm's, or one of Hugging Face's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`WeightsError::ConfigFormat`] for what is not JSON; [`WeightsError::Config`] for a value that cannot be.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let map = parse(&name, &picture::read_config(path)?)?;
        let version = picture::transformers_version(&map, Some(path));
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
        Self { options, arithmetic: Some(Ok(())), ..Self::default() }
    }

    /// This one, and where it leaves a value open, the other's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let preprocess_source =
            if self.preprocess.is_some() { self.preprocess_source } else { other.preprocess_source };
        Self {
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
        self.arithmetic.clone().unwrap_or(Ok(()))?;
        Ok(&self.options)
    }

    /// How images are prepared; `None` where nothing is said of it.
    ///
    /// # Errors
    /// A [`PictureError`](crate::error::PictureError) that names the value which asks for what is not done here.
    pub fn preprocess(&self) -> Result<Option<&ConfiguredPreprocess>, crate::error::PictureError> {
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

    /// The text of a `config.json` that says all of this of a network: timm's format, which
    /// `timm.create_model("local-dir:...")` opens if the network has a name there, with one more key, [`KEY`].
    ///
    /// # Errors
    /// [`PictureError::Setting`](crate::error::PictureError::Setting) for a preprocessing that timm's format cannot say.
    pub fn to_json(&self, network: &ResNet) -> Result<String> {
        let mut config = Map::new();
        let mut say = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
        if let Some((name, args)) = timm_name(network) {
            say("architecture", json!(name));
            if !args.is_empty() {
                say("model_args", Value::Object(args));
            }
        }
        let classes = network.classes().unwrap_or(0);
        say("num_classes", json!(classes));
        say("num_features", json!(network.features()));
        if let Some(ClassNames { names, .. }) = &self.class_names {
            say("label_names", json!(names));
        }
        let mut pretrained = match &self.preprocess {
            Some(Ok(found)) => found.preprocess.to_timm()?,
            _ => Map::new(),
        };
        for (key, value) in
            [("num_classes", json!(classes)), ("first_conv", json!("conv1")), ("classifier", json!("fc"))]
        {
            pretrained.insert(key.to_owned(), value);
        }
        // Without a preprocessing it is no configuration of timm's, which reads input_size first.
        if pretrained.contains_key("input_size") {
            say("pretrained_cfg", Value::Object(pretrained));
        }
        say(KEY, Value::Object(ours(network)));
        Ok(format!("{:#}\n", Value::Object(config)))
    }
}

/// What stands under [`KEY`].
fn ours(network: &ResNet) -> Map<String, Value> {
    let mut map = Map::new();
    let mut say = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    say("dilation", json!(network.dilations()));
    say("multi_grid", json!(network.multi_grid()));
    say("norm", json!(network.norm().name()));
    if let Some(eps) = network.norm().eps() {
        say("eps", json!(eps));
    }
    say("stride_in", json!(stride_name(network.stride_in())));
    say("max_pool", json!(pool_name(network.stem().pool)));
    say("color_order", json!("RGB"));
    say("color_range", json!([0, 1]));
    map
}

fn stride_name(stride_in: StrideIn) -> &'static str {
    match stride_in {
        StrideIn::Conv1 => "1x1",
        StrideIn::Conv2 => "3x3",
    }
}

fn pool_name(windows: PoolWindows) -> &'static str {
    match windows {
        PoolWindows::Padded => "padded",
        PoolWindows::CeilMode => "ceil",
    }
}

/// The network's name in timm and what its constructor has to be told, if timm computes the same.
fn timm_name(network: &ResNet) -> Option<(&'static str, Map<String, Value>)> {
    let variant = network.variant()?;
    let usual = ResNet::named(variant.name).ok()?.build().ok()?;
    let mut args = Map::new();
    let same = (network.norm(), network.stride_in(), network.stem()) == (usual.norm(), usual.stride_in(), usual.stem());
    let output_stride = match network.replaced_strides()[..] {
        [false, false, false] => 32,
        [false, false, true] => 16,
        [false, true, true] => 8,
        _ => return None,
    };
    if !same || !network.multi_grid().is_empty() {
        return None;
    }
    if output_stride != 32 {
        args.insert("output_stride".to_owned(), json!(output_stride));
    }
    Some((variant.name, args))
}

fn parse(name: &str, text: &str) -> Result<Map<String, Value>, WeightsError> {
    let refuse = |reason| WeightsError::ConfigFormat { config: name.to_owned(), reason };
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(refuse("expected an object".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// A configuration being read.
#[derive(Clone, Copy)]
struct Reader<'a> {
    name: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Reader<'a> {
    fn is_hugging_face(&self) -> bool {
        self.text("model_type") == Some("resnet")
    }

    /// What it says of the network, apart from whether it is one of ours.
    fn options(&self) -> Result<CheckpointOptions, WeightsError> {
        let mut options = match self.map.get(KEY) {
            Some(Value::Object(map)) => Reader { name: self.name, map }.ours()?,
            Some(other) => return Err(self.wrong(KEY, other, "an object")),
            None => CheckpointOptions::default(),
        };
        if self.is_hugging_face() {
            let key = "downsample_in_bottleneck";
            let is_v1 = self.value(key, "true or false", Value::as_bool)?.unwrap_or(false);
            options.stride_in = options.stride_in.or(Some(if is_v1 { StrideIn::Conv1 } else { StrideIn::Conv2 }));
        }
        if let Some(stride) = self.output_stride()? {
            // As timm's ResNet does it: a stage strides until the output stride is reached.
            let replaced = [8, 16, 32].map(|reached| reached > stride).to_vec();
            options.replace_stride_with_dilation = options.replace_stride_with_dilation.or(Some(replaced));
        }
        Ok(options)
    }

    /// The object under [`KEY`].
    fn ours(&self) -> Result<CheckpointOptions, WeightsError> {
        if let Some((key, value)) = self.map.iter().find(|(key, _)| !OURS.contains(&key.as_str())) {
            return Err(self.wrong(&format!("{KEY}.{key}"), value, "no such key"));
        }
        let norm = |value: &Value| NormKind::ALL.into_iter().find(|kind| value.as_str() == Some(kind.name()));
        let eps = |value: &Value| value.as_f64().filter(|eps| *eps >= 0.0);
        let stride = |value: &Value| {
            [StrideIn::Conv1, StrideIn::Conv2].into_iter().find(|known| value.as_str() == Some(stride_name(*known)))
        };
        let pool = |value: &Value| {
            [PoolWindows::Padded, PoolWindows::CeilMode]
                .into_iter()
                .find(|kind| value.as_str() == Some(pool_name(*kind)))
        };
        self.value("color_order", "\"RGB\"", |value| (value == "RGB").then_some(()))?;
        let range = |value: &Value| {
            let ends: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            (ends == [0.0, 1.0]).then_some(())
        };
        self.value("color_range", "[0, 1]", range)?;
        Ok(CheckpointOptions {
            prefix: None,
            norm: self.value("norm", "\"BatchNorm2d\", \"FrozenBatchNorm2d\" or \"Identity\"", norm)?,
            eps: self.value("eps", "a number, not negative", eps)?,
            stride_in: self.value("stride_in", "\"3x3\" or \"1x1\"", stride)?,
            max_pool: self.value("max_pool", "\"padded\" or \"ceil\"", pool)?,
            replace_stride_with_dilation: self.value("dilation", DILATION, replaced)?,
            multi_grid: self.value("multi_grid", "a list of whole numbers", sizes)?,
        })
    }

    /// Whether the network computes what ours do, if anything is said of a network.
    fn arithmetic(&self) -> Option<Result<(), WeightsError>> {
        let timm = ["architecture", "pretrained_cfg", "model_args"].iter().any(|key| self.map.contains_key(*key));
        match (self.is_hugging_face(), timm || self.map.contains_key(KEY)) {
            (true, _) => Some(self.check_hugging_face()),
            (false, true) => Some(self.check_timm()),
            (false, false) => None,
        }
    }

    /// transformers' ResNetConfig, as far as it does not show in the weights.
    fn check_hugging_face(&self) -> Result<(), WeightsError> {
        self.check("hidden_act", |value| value == "relu", "\"relu\"")?;
        self.check("downsample_in_first_stage", |value| value == false, "false")
    }

    /// What timm's constructors are told, as far as it does not show in the weights.
    fn check_timm(&self) -> Result<(), WeightsError> {
        if let Some(name) = self.text("architecture") {
            same_keys::check("architecture", name, self.name)?;
        }
        self.check("global_pool", |value| matches!(value.as_str(), None | Some("" | "avg" | "fast")), "\"avg\"")?;
        let Some(Value::Object(args)) = self.map.get("model_args") else { return Ok(()) };
        // What shows in the weights, or does nothing in eval mode.
        const HARMLESS: [&str; 9] = [
            "output_stride",
            "num_classes",
            "in_chans",
            "global_pool",
            "drop_rate",
            "drop_path_rate",
            "drop_block_rate",
            "zero_init_last",
            "block_args",
        ];
        let inner = Reader { name: self.name, map: args };
        inner.check("global_pool", |value| matches!(value.as_str(), None | Some("" | "avg" | "fast")), "\"avg\"")?;
        inner.check("block_args", |value| value.as_object().is_none_or(Map::is_empty), "nothing")?;
        match args.iter().find(|(key, value)| !HARMLESS.contains(&key.as_str()) && !value.is_null()) {
            Some((key, value)) => Err(inner.wrong(&format!("model_args.{key}"), value, "no such argument")),
            None => Ok(()),
        }
    }

    /// timm's argument of that name.
    fn output_stride(&self) -> Result<Option<u64>, WeightsError> {
        let Some(Value::Object(args)) = self.map.get("model_args") else { return Ok(None) };
        let known = |value: &Value| value.as_u64().filter(|stride| [8, 16, 32].contains(stride));
        Reader { name: self.name, map: args }.value("output_stride", "8, 16 or 32", known)
    }

    /// timm's `label_names`, or Hugging Face's `id2label`: a list, or names by number.
    fn class_names(&self) -> Option<Vec<String>> {
        let inner = self.map.get("pretrained_cfg").and_then(|config| config.get("label_names"));
        [self.map.get("label_names"), inner, self.map.get("id2label")].into_iter().flatten().find_map(class_names)
    }

    fn multi_label(&self) -> Option<bool> {
        self.text("problem_type").map(|kind| kind == "multi_label_classification")
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.map.get(key).and_then(Value::as_str)
    }

    /// A value that may be absent or null, as `convert` takes it.
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

    /// Compares a value, if there is one, with what is supported.
    fn check(&self, key: &str, is_good: impl Fn(&Value) -> bool, expected: &'static str) -> Result<(), WeightsError> {
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
const OURS: [&str; 8] =
    ["dilation", "multi_grid", "norm", "eps", "stride_in", "max_pool", "color_order", "color_range"];

const DILATION: &str = "a dilation for each stage, the first 1, each other the one before it or twice that";

/// Whether each stage after the first replaces its stride, from the dilation of each stage.
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
        Value::Object(map) => {
            (0..map.len()).map(|class| Some(map.get(&class.to_string())?.as_str()?.to_owned())).collect()
        }
        _ => None,
    }
}
