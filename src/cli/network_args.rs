//! The arguments of the commands that run whole networks, and the options of the library that they
//! set.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use wgpu_bottleneck::gpu::Memory;
use wgpu_bottleneck::image::Channels;
use wgpu_bottleneck::network;
use wgpu_bottleneck::{Error, ImagePipeline, Network, NetworkWeights, Preprocess};

use super::engine_args::EngineArgs;
use super::error::CliError;
use super::output;
use super::source_args::SourceArgs;

/// Which network, and how it is run.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// The network.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How it is run.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Report the device memory in use: packed weights, workspace, staging.
    #[arg(long)]
    pub memory: bool,
}

impl NetworkArgs {
    /// As [`SourceArgs::file`].
    pub fn file(&self) -> Result<PathBuf, CliError> {
        self.source.file()
    }

    /// The input files, which must not be overwritten: weights, configurations and the table of
    /// kernels.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, CliError> {
        let table = self.engine.table().map(Path::to_owned);
        Ok(self.source.inputs()?.into_iter().chain(table).collect())
    }

    /// As [`SourceArgs::network`].
    pub fn weights(&self) -> Result<NetworkWeights, CliError> {
        self.source.network()
    }

    /// Reports the memory of a network, if that is requested.
    pub fn tell_memory(&self, network: &Network) {
        if self.memory {
            output::progress(&memory_line(&network.memory()));
        }
    }
}

/// Device memory, part by part.
fn memory_line(memory: &Memory) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    let parts = [
        ("packed weights", memory.weights - memory.extra_weights),
        ("additional transformed weights", memory.extra_weights),
        ("workspace", memory.workspace),
        ("parameters", memory.params),
        ("input", memory.input),
        ("output", memory.output),
        ("staging", memory.staging),
    ];
    let parts: Vec<String> =
        parts.into_iter().map(|(name, bytes)| format!("{name} {}", mib(bytes))).collect();
    format!("device memory: {}; in total {}", parts.join(", "), mib(memory.total()))
}

/// `bottleneck run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// A file with a tensor `input` (NCHW, already normalised); other tensors in it are ignored.
    #[arg(long, value_name = "IN.safetensors")]
    pub input: PathBuf,
    /// The file to write, with a tensor `logits`, or `pooled` for a network without classes. It is
    /// written atomically.
    #[arg(long, value_name = "OUT.safetensors")]
    pub output: PathBuf,
    /// Also write `stem`, `layer1`, `layer2`, ... (NCHW) and `pooled`.
    #[arg(long)]
    pub features: bool,
    /// Images per run; unset: all at once, within the limits of the device.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Also run the reference on the CPU, and fail if a result is beyond the tolerance.
    #[arg(long)]
    pub verify: bool,
}

/// The order of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChannelOrderArg {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl From<ChannelOrderArg> for Channels {
    fn from(arg: ChannelOrderArg) -> Self {
        match arg {
            ChannelOrderArg::Rgb => Self::Rgb,
            ChannelOrderArg::Bgr => Self::Bgr,
        }
    }
}

/// The largest pixel value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RangeArg {
    /// 0 to 1.
    #[value(name = "1")]
    Unit,
    /// 0 to 255.
    #[value(name = "255")]
    Bytes,
}

/// How images become the input of a network.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// The network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// torchvision's preprocessing: v1 resizes the shorter side to 256 and crops 224, v2 to 232
    /// [default: from the configuration, or v1]
    #[arg(long, value_name = "V", conflicts_with = "config")]
    pub preset: Option<String>,
    /// The order of the channels: bgr for networks from Caffe and detectron2 [default: from the
    /// configuration, or rgb]
    #[arg(long, value_name = "ORDER", value_enum)]
    pub channel_order: Option<ChannelOrderArg>,
    /// The largest pixel value before the mean is subtracted. With 255 (Caffe, detectron2) the mean
    /// is subtracted from bytes, and nothing is divided [default: from the configuration, or 1]
    #[arg(long, value_name = "R", value_enum)]
    pub range: Option<RangeArg>,
    /// Images per run.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub batch: u32,
}

impl ImageArgs {
    /// The preprocessing from --preset, else from the configuration, else torchvision's v1.
    pub fn preprocess(&self, weights: &NetworkWeights) -> Result<Preprocess, CliError> {
        let way = "set another preprocessing with --preset or --config FILE";
        let mut preprocess = match &self.preset {
            Some(preset) => weights.for_stem(Preprocess::preset(preset).map_err(Error::from)?),
            None => {
                weights.preprocess().map_err(|error| CliError::Usage(format!("{error}; {way}")))?
            }
        };
        if let Some(order) = self.channel_order {
            if preprocess.channels == Channels::Gray {
                return Err(CliError::Usage(
                    "--channel-order: the network has one input channel".to_owned(),
                ));
            }
            preprocess = preprocess.with_channels(order.into());
        }
        Ok(if self.range == Some(RangeArg::Bytes) { preprocess.of_bytes() } else { preprocess })
    }

    /// Prints the preprocessing, its source and the rule that was applied.
    pub fn tell_preprocess(&self, weights: &NetworkWeights) -> Result<(), CliError> {
        let preprocess = self.preprocess(weights)?;
        if self.preset.is_some() {
            return Ok(());
        }
        let config = weights.config();
        match config.preprocess().map_err(Error::from)? {
            Some(found) => {
                let source = config.preprocess_source();
                output::progress(&format!("preprocessing from {source}: {preprocess}"));
                found.rule.iter().for_each(|rule| output::progress(rule));
            }
            None => output::progress(&format!(
                "preprocessing assumed to be torchvision's IMAGENET1K_V1: {preprocess}"
            )),
        }
        Ok(())
    }

    /// Refuses a network whose pooling is not a mean, for commands that use the pooled vector.
    pub fn check_pooling(&self, weights: &NetworkWeights) -> Result<(), CliError> {
        let Some(key) = weights.checkpoint().pooling_exponent() else { return Ok(()) };
        let file = self.network.source.weights.display();
        Err(CliError::Usage(format!(
            "{file}: {key} is a learned pooling exponent (GeM): the vector is not the mean of the \
            last feature map; `bottleneck features` and `bottleneck run --features` write the maps"
        )))
    }

    /// Loads the network on its device, for `images` images in all, or for any number.
    pub fn load(
        &self,
        weights: &NetworkWeights,
        images: Option<usize>,
    ) -> Result<ImagePipeline, CliError> {
        let preprocess = self.preprocess(weights)?;
        self.tell_preprocess(weights)?;
        let largest = self.batch as usize;
        let batch = images.map_or(largest, |images| images.clamp(1, largest));
        // Errors of the file are reported before the device is opened, so also without a GPU.
        let shape = preprocess.shape(batch).map_err(Error::from)?;
        let plan = self.network.engine.plan_kind();
        network::plan_network(weights.spec(), shape, plan)
            .map_err(CliError::in_file(&self.network.file()?))?;
        let gpu = self.network.engine.adapter.gpu_with_kept_pipelines()?;
        let runs = images.and_then(|images| u32::try_from(images.div_ceil(batch)).ok());
        let options = self.network.engine.load_options(Some(&gpu), runs)?;
        let pipeline = ImagePipeline::load(&gpu, weights, &preprocess, batch, &options)?;
        self.network.tell_memory(pipeline.network());
        Ok(pipeline)
    }
}

/// `bottleneck classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// The network and the preprocessing.
    #[command(flatten)]
    pub images: ImageArgs,
    /// Class names: one per line, or JSON (a list, or Hugging Face's id2label) [default: from the
    /// configuration; ImageNet's for 1000 classes without names]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// How many classes to show per image.
    #[arg(
        long,
        value_name = "K",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub top: u32,
    /// Print JSON: one array, batch by batch. It is complete even after an error or Ctrl-C.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV, batch by batch.
    #[arg(long)]
    pub csv: bool,
    /// Images, or folders of images.
    #[arg(value_name = "IMAGES", required = true)]
    pub files: Vec<PathBuf>,
}

/// `bottleneck verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The network and the preprocessing. --precision is f16 unless it is auto.
    #[command(flatten)]
    pub images: ImageArgs,
    /// How many images to generate if none are given.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=4096),
        conflicts_with = "files"
    )]
    pub generate: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Images, or folders of images.
    #[arg(value_name = "IMAGES")]
    pub files: Vec<PathBuf>,
}

/// `bottleneck features`.
#[derive(Debug, Args)]
pub struct FeaturesArgs {
    /// The network and the preprocessing.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The image.
    #[arg(long, alias = "picture", value_name = "I")]
    pub image: PathBuf,
    /// The output folder for overview.png, stem.png, layer1.png, ...; created if its parent exists.
    #[arg(long, value_name = "DIR", required_unless_present = "raw")]
    pub png: Option<PathBuf>,
    /// The output file for the values of the feature maps: `stem`, `layer1`, `layer2`, ... (f32,
    /// NCHW). It is written atomically.
    #[arg(long, value_name = "OUT.safetensors")]
    pub raw: Option<PathBuf>,
    /// How many channels of each map to show in the images.
    #[arg(
        long,
        value_name = "N",
        requires = "png",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub channels: u32,
}
