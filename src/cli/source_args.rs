//! The arguments that name a file of weights and the network in it.

use std::path::{Path, PathBuf};

use clap::Args;
use wgpu_bottleneck::network::ResNet;
use wgpu_bottleneck::weights::{ModelConfig, weights_file};
use wgpu_bottleneck::{Checkpoint, Error, NetworkWeights, StateDict};

use super::error::CliError;
use super::output;
use super::variant_args::VariantArgs;

/// The value of `--model` that detects the network from the weights.
pub const AUTO: &str = "auto";

/// Which network.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// The weights: safetensors or PyTorch's .pth, with torchvision's, timm's or Hugging Face's
    /// keys; or a folder with model.safetensors, pytorch_model.bin or a single weights file.
    #[arg(long, value_name = "W")]
    pub weights: PathBuf,
    /// The network, e.g. resnet50, resnext50_32x4d; auto reads depths, widths, groups and classes
    /// from the weights' shapes.
    #[arg(long, value_name = "NAME", default_value = AUTO)]
    pub model: String,
    /// The prefix of the keys, e.g. `backbone.` [default: the only prefix with a whole network]
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// The dict of a .pth file that holds the weights, e.g. `teacher` or `ema.model` [default: the
    /// only dict with a network]
    #[arg(long, value_name = "NAME[.NAME]")]
    pub key: Option<String>,
    /// A configuration: config.json (timm, Hugging Face, `bottleneck train`) or
    /// preprocessor_config.json. Missing values are read from the metadata of the weights, then
    /// from the configuration files next to the weights.
    #[arg(long, value_name = "C.json")]
    pub config: Option<PathBuf>,
    /// Settings that shapes do not show.
    #[command(flatten)]
    pub variant: VariantArgs,
}

impl SourceArgs {
    /// The weights file.
    pub fn file(&self) -> Result<PathBuf, CliError> {
        Ok(weights_file(&self.weights)?)
    }

    /// The input files, which must not be overwritten: weights and configurations.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, CliError> {
        let file = self.file()?;
        let next =
            ["config.json", "preprocessor_config.json"].map(|name| file.with_file_name(name));
        let next = next.into_iter().filter(|path| path.exists());
        Ok([file].into_iter().chain(self.config.clone()).chain(next).collect())
    }

    /// The network with its weights.
    pub fn network(&self) -> Result<NetworkWeights, CliError> {
        let file = self.file()?;
        self.network_of(&file, StateDict::open_key(&file, self.key.as_deref())?)
    }

    /// The network of an open file, whose weights are checked against it. Each setting that shapes
    /// do not show comes from its option, --config, the file's metadata, the configuration files
    /// next to the file, or torchvision's default, in this order.
    pub fn network_of(&self, file: &Path, dict: StateDict) -> Result<NetworkWeights, CliError> {
        let named = match self.model.as_str() {
            AUTO => None,
            name => Some(ResNet::named(name).map_err(Error::from)?),
        };
        let config = match &self.config {
            None => ModelConfig::of(file, &dict)?,
            Some(path) => {
                let given = ModelConfig::open_for(path, file)?
                    .or(ModelConfig::in_metadata_of(file, &dict)?);
                // With --config, an unreadable configuration in the folder is only a warning.
                given.or(ModelConfig::in_folder_of(file)
                    .unwrap_or_else(|error| {
                        output::progress(&format!("warning: ignored: {error}"));
                        ModelConfig::default()
                    })
                    .without_description())
            }
        };
        let options = self.variant.options(self.prefix.clone())?;
        let weights = match named {
            None => NetworkWeights::detect_with(dict, &options, config),
            // Of a network with a name the classes are still free.
            Some(builder) => {
                let options = options.or(config.options().map_err(Error::from)?.clone());
                let detected = Checkpoint::detect(&dict, &options);
                let classes =
                    detected.map_or(Some(1000), |checkpoint| checkpoint.network().classes());
                let network = options.apply(builder).classes(classes).build().map_err(Error::from);
                let network = network.map_err(CliError::in_file(file))?;
                NetworkWeights::matching_with(dict, &network, options.prefix.as_deref(), config)
            }
        };
        weights.map_err(CliError::in_file(file))
    }

    /// The first given option that only a network has.
    pub fn first_of_network(&self) -> Option<&'static str> {
        let model = (self.model != AUTO).then_some("--model");
        model.or(self.config.as_ref().map(|_| "--config")).or(self.variant.first_given())
    }
}
