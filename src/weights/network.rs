//! A network from a state dict: the locations of its tensors, and the parameters of each step of a
//! plan.

use std::path::Path;

use super::checkpoint::quoted;
use super::layers::{self, Layers};
use super::reader::Reader;
use super::{Checkpoint, CheckpointOptions, ModelConfig, StateDict, weights_file};
use crate::error::{Error, Result, WeightsError};
use crate::image::{Channels, Preprocess};
use crate::network::{LayerSpec, ResNet};
use crate::op::StepParams;
use crate::plan::{Plan, Role, Step};

/// A network and the file with its weights.
///
/// The weights stay in the file: those of each step are read, folded and rounded on request, so
/// that a network needs no second copy of them on the host. Their values are checked at that time;
/// keys and shapes are checked before.
#[derive(Debug, Clone)]
pub struct NetworkWeights {
    dict: StateDict,
    checkpoint: Checkpoint,
    config: ModelConfig,
}

impl NetworkWeights {
    /// Opens a file and detects its network from keys and shapes. Settings that shapes do not show
    /// come from the options, then the file's metadata, then the configuration files in its folder
    /// ([`ModelConfig`]). A folder is accepted too ([`weights_file`]).
    ///
    /// # Errors
    /// As [`weights_file`], [`StateDict::open`], [`ModelConfig::of`] and
    /// [`NetworkWeights::detect_with`].
    pub fn open(path: impl AsRef<Path>, options: &CheckpointOptions) -> Result<Self> {
        let file = weights_file(path)?;
        let dict = StateDict::open_key(&file, options.key.as_deref())?;
        let config = ModelConfig::of(&file, &dict)?;
        Self::detect_with(dict, options, config)
    }

    /// Detects the network of a state dict from keys and shapes. Settings that shapes do not show
    /// come from the options, then the metadata.
    ///
    /// # Errors
    /// As [`ModelConfig::in_metadata`] and [`NetworkWeights::detect_with`].
    pub fn detect(dict: StateDict, options: &CheckpointOptions) -> Result<Self> {
        let config = ModelConfig::in_metadata(&dict)?;
        Self::detect_with(dict, options, config)
    }

    /// Same as [`NetworkWeights::detect`], with `config` in place of the metadata.
    ///
    /// # Errors
    /// As [`ModelConfig::options`] and [`Checkpoint::detect`]; [`WeightsError::Configured`] if the
    /// configuration is the cause; [`WeightsError::OtherNetwork`] if it describes another network.
    pub fn detect_with(
        dict: StateDict,
        options: &CheckpointOptions,
        config: ModelConfig,
    ) -> Result<Self> {
        check_choice(&dict)?;
        let merged = options.clone().or(config.options()?.clone());
        let checkpoint = Checkpoint::detect(&dict, &merged).map_err(|error| {
            let error = explained(&dict, error);
            // The configuration is the cause if detection succeeds without it.
            let alone = Checkpoint::detect(&dict, options).is_ok();
            if alone { config.blame(error) } else { error }
        })?;
        config.check_network(checkpoint.network())?;
        log_ignored(&dict, &checkpoint);
        Ok(Self { dict, checkpoint, config })
    }

    /// The weights of a known network. A prefix of `None` is chosen as by [`Checkpoint::detect`].
    ///
    /// # Errors
    /// As [`Checkpoint::matching`] and [`ModelConfig::in_metadata`].
    pub fn matching(dict: StateDict, network: &ResNet, prefix: Option<&str>) -> Result<Self> {
        let config = ModelConfig::in_metadata(&dict)?;
        Self::matching_with(dict, network, prefix, config)
    }

    /// Same as [`NetworkWeights::matching`], with `config` for the preprocessing and the class
    /// names.
    ///
    /// # Errors
    /// As [`Checkpoint::matching`]; [`WeightsError::OtherNetwork`] if the configuration describes
    /// another network.
    pub fn matching_with(
        dict: StateDict,
        network: &ResNet,
        prefix: Option<&str>,
        config: ModelConfig,
    ) -> Result<Self> {
        check_choice(&dict)?;
        let checkpoint = Checkpoint::matching(&dict, network, prefix)?;
        config.check_network(network)?;
        log_ignored(&dict, &checkpoint);
        Ok(Self { dict, checkpoint, config })
    }

    /// The model's configuration, from the metadata and the files in the folder.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The preprocessing from the configuration, or [`Preprocess::imagenet_v1`] if there is none.
    ///
    /// # Errors
    /// As [`ModelConfig::preprocess`].
    pub fn preprocess(&self) -> Result<Preprocess> {
        let found =
            self.config.preprocess()?.map_or_else(Preprocess::default, |found| found.preprocess);
        Ok(self.for_stem(found))
    }

    /// Adapts a preprocessing to the channels of the stem: grey for a stem with one channel.
    #[must_use]
    pub fn for_stem(&self, preprocess: Preprocess) -> Preprocess {
        match self.spec().stem().in_channels {
            1 => preprocess.with_channels(Channels::Gray),
            _ => preprocess,
        }
    }

    /// The network.
    #[must_use]
    pub fn spec(&self) -> &ResNet {
        self.checkpoint.network()
    }

    /// The state dict of the weights.
    pub(super) fn dict(&self) -> &StateDict {
        &self.dict
    }

    /// The same weights without the linear layer, for vectors and feature maps: what follows the
    /// pooling is then neither checked nor uploaded.
    #[must_use]
    pub fn without_head(&self) -> Self {
        Self { checkpoint: self.checkpoint.clone().without_head(), ..self.clone() }
    }

    /// The network and the keys of its tensors.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The parameters of every step of a plan of this network, in order: a copy of all of them.
    ///
    /// # Errors
    /// As [`NetworkWeights::step_params`].
    pub fn params(&self, plan: &Plan) -> Result<Vec<StepParams>> {
        plan.steps.iter().map(|step| self.step_params(step)).collect()
    }

    /// The parameters of one step of a plan of this network.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor: [`WeightsError::NonFinite`],
    /// [`WeightsError::Variance`], [`WeightsError::FoldOverflow`], or for an unsupported element
    /// type; [`WeightsError::Missing`] if the plan belongs to another network.
    pub fn step_params(&self, step: &Step) -> Result<StepParams> {
        let params = self.read_params(step);
        // The next step has other tensors, so the memory of this step's tensors is released.
        self.dict.let_go();
        params
    }

    fn read_params(&self, step: &Step) -> Result<StepParams> {
        let spec = self.spec();
        match step.role {
            Role::MaxPool | Role::AvgPool | Role::Convert => Ok(StepParams::None),
            Role::Stem | Role::StemBn => {
                let conv = spec.stem().conv();
                let stem = LayerSpec { conv_name: "conv1", norm_name: "bn1", conv };
                self.layer_params("", &[stem], step)
            }
            Role::Fc => {
                let classes = spec.classes().ok_or_else(|| other_network(step))?;
                let (weight, bias) = self.classifier(classes)?;
                Ok(StepParams::Conv { weight, bias })
            }
            _ => {
                // The stem is block 0.
                let block = step.block.checked_sub(1).and_then(|index| spec.blocks().nth(index));
                let (name, block) = block.ok_or_else(|| other_network(step))?;
                self.layer_params(&name, &block.layers(), step)
            }
        }
    }

    /// A tensor by torchvision's name.
    pub(super) fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        match (name, dims) {
            ("fc.weight", [classes, _]) => Ok(self.classifier(*classes)?.0),
            ("fc.bias", [classes]) => Ok(self.classifier(*classes)?.1),
            _ => self.dict.weight(self.key(name), dims),
        }
    }

    /// The weights of the linear layer, which may be stored as a 1x1 convolution, and its bias,
    /// zeros if it has none.
    pub(super) fn classifier(&self, classes: usize) -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
        let key = self.key("fc.weight");
        let mut dims = vec![classes, self.spec().features()];
        if self.dict.dims(key).is_some_and(|dims| dims.len() == 4) {
            dims.extend([1, 1]);
        }
        let weight = self.dict.weight(key, &dims)?;
        let bias = match self.checkpoint.key("fc.bias") {
            Some(key) => self.dict.weight(key, &[classes])?,
            None => vec![0.0; classes],
        };
        Ok((weight, bias))
    }

    fn layer_params(&self, prefix: &str, specs: &[LayerSpec], step: &Step) -> Result<StepParams> {
        let reader = Reader::of_checkpoint(&self.dict, &self.checkpoint, prefix);
        let needed = layers::needed(step.role, &step.op);
        let specs: Vec<LayerSpec> =
            specs.iter().filter(|spec| needed.contains(&spec.conv_name)).copied().collect();
        Ok(Layers::read(&reader, &specs)?.step_params(step.role, &step.op)?)
    }

    fn key<'a>(&'a self, name: &'a str) -> &'a str {
        self.checkpoint.key(name).unwrap_or(name)
    }
}

/// Explains an error about a file without a network, if its weights are values that cannot be read
/// as tensors, for example quantised tensors.
fn explained(dict: &StateDict, error: Error) -> Error {
    let mut others = dict.others().filter(|(key, _)| key.ends_with("conv1.weight"));
    match (&error, others.next()) {
        (Error::Weights(WeightsError::NoNetwork { .. }), Some((key, found))) => {
            WeightsError::NotATensor { tensor: key.to_owned(), found: found.to_owned() }.into()
        }
        _ => error,
    }
}

/// Refuses a file of several dicts with networks.
fn check_choice(dict: &StateDict) -> Result<(), WeightsError> {
    if dict.networks().is_empty() {
        return Ok(());
    }
    let selectors = dict.networks().iter().map(|key| format!("--key {}", quoted(key))).collect();
    Err(WeightsError::SeveralNetworks { selectors })
}

/// Logs what is not used: modules after the pooling or next to the network, averages of weights.
fn log_ignored(dict: &StateDict, checkpoint: &Checkpoint) {
    const NAMED: usize = 8;
    let ignored = checkpoint.ignored();
    if !ignored.is_empty() {
        let names = ignored.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = ignored.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        tracing::warn!("ignored: {names}{more}: not part of the ResNet up to its pooling");
    }
    let prefixes =
        checkpoint.averages().iter().map(|prefix| format!("--prefix {}", quoted(prefix)));
    let keys = dict.averages().iter().map(|key| format!("--key {}", quoted(key)));
    for selector in keys.chain(prefixes) {
        tracing::warn!("the file also has an average of the weights (EMA); {selector} selects it");
    }
}

fn other_network(step: &Step) -> WeightsError {
    WeightsError::Missing { tensor: step.to_string(), hint: " (another network's plan)".to_owned() }
}
