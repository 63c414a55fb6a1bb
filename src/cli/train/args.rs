//! The arguments of `bottleneck train`, and the options of the library that they set.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use wgpu_bottleneck::engine::{Decay, Schedule};
use wgpu_bottleneck::image::{CropRounding, Resize};
use wgpu_bottleneck::network::{Optimizer, TrainingOptions};
use wgpu_bottleneck::{BlockKind, CheckpointOptions, Error, Preprocess, ResNet};

use super::super::engine_args::EngineArgs;
use super::super::error::CliError;
use super::super::variant_args::VariantArgs;
use super::files::CHECKPOINT;
use super::init::{self, Init};

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OptimizerArg {
    /// SGD with momentum.
    Sgd,
    /// AdamW.
    Adamw,
}

/// How the learning rate decays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecayArg {
    /// No decay.
    Constant,
    /// A half cosine down to zero.
    Cosine,
    /// Multiplied by --factor every --every epochs.
    Step,
}

/// `bottleneck train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The images: one folder per class. The sorted folder names are the classes; bytes of a name
    /// that are not UTF-8 are written as \xff. Left out are files that are not images by name and
    /// first bytes, hidden files and folders, __MACOSX and folders without images.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Images of the same classes to evaluate after each epoch; they are not used for training.
    #[arg(long, value_name = "DIR")]
    pub validation: Option<PathBuf>,
    /// The output folder; created if its parent exists. The run writes checkpoint.safetensors,
    /// model.safetensors, best.safetensors (with --validation: the epoch with the highest
    /// accuracy), config.json, log.csv, curves.svg, images.jsonl (the list of images, for --resume)
    /// and failed.csv (images that cannot be used).
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Resume from the checkpoint in --out; the result is bit-identical to an uninterrupted run.
    /// Without a checkpoint, start a new run. Network, size and normalisation come from the
    /// checkpoint, and --init is ignored. The run uses the images of its first start, except
    /// images that were left out. --epochs may be raised: the learning rates then follow the
    /// schedule for the new number.
    #[arg(long)]
    pub resume: bool,
    /// Stop at the first image that cannot be used. Without --strict, such images are left out and
    /// listed in failed.csv.
    #[arg(long)]
    pub strict: bool,

    /// The network: a name such as resnet50, or bottleneck or basic with --depths and --planes
    /// [default: the network of --init, or resnet50]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Blocks per stage.
    #[arg(long, value_name = "N,N", value_delimiter = ',', num_args = 1)]
    pub depths: Vec<usize>,
    /// Planes per stage; a stage of Bottlenecks outputs four times as many channels.
    #[arg(long, value_name = "N,N", value_delimiter = ',', num_args = 1)]
    pub planes: Vec<usize>,
    /// Output channels of the stem.
    #[arg(long, value_name = "N")]
    pub stem_planes: Option<usize>,
    /// Groups of the Bottlenecks' 3x3 convolutions.
    #[arg(long, value_name = "N")]
    pub groups: Option<usize>,
    /// Width per 64 planes and group.
    #[arg(long, value_name = "N")]
    pub width_per_group: Option<usize>,
    /// Start from the weights in this file or folder. The linear layer is reinitialised if the
    /// number of classes differs. The configuration (metadata, or files next to the weights) sets
    /// the network's other settings and the normalisation.
    #[arg(long, value_name = "W", conflicts_with_all = ["zero_init_residual"])]
    pub init: Option<PathBuf>,
    /// The prefix of the network's keys in --init, e.g. `backbone.` [default: the only prefix with
    /// a whole network]
    #[arg(long, value_name = "P", requires = "init")]
    pub prefix: Option<String>,
    /// The dict of a .pth file of --init that holds the weights, e.g. `teacher` [default: the only
    /// dict with a network]
    #[arg(long, value_name = "NAME[.NAME]", requires = "init")]
    pub key: Option<String>,
    /// Initialise the gamma of the last norm of each block to zero, so that each block starts as
    /// its shortcut.
    #[arg(long)]
    pub zero_init_residual: bool,
    /// Do not train the parts with this name or prefix, e.g. conv1, layer1, layer2.0.bn1. Their
    /// norms run in eval mode. May be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub freeze: Vec<String>,

    /// Passes over all images.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 90,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub epochs: u32,
    /// Images per batch; the images after the last whole batch of an epoch are skipped.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub batch: u32,
    /// Batches per optimiser step.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub accumulate: u32,
    /// The learning rate.
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub lr: f64,
    /// Epochs over which the rate rises.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub warmup: f64,
    /// How the rate decays.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = DecayArg::Cosine)]
    pub decay: DecayArg,
    /// Epochs between two drops of --decay step.
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    pub every: f64,
    /// The factor of the rate at each drop of --decay step.
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub factor: f64,
    /// The optimiser.
    #[arg(long, value_enum, value_name = "NAME", default_value_t = OptimizerArg::Sgd)]
    pub optimizer: OptimizerArg,
    /// SGD's momentum.
    #[arg(long, value_name = "X", default_value_t = 0.9)]
    pub sgd_momentum: f64,
    /// Use Nesterov momentum with SGD.
    #[arg(long)]
    pub nesterov: bool,
    /// The weight decay; unset: 1e-4 for SGD, 1e-2 for AdamW.
    #[arg(long, value_name = "X")]
    pub weight_decay: Option<f64>,
    /// No weight decay for the parameters of norms and for biases.
    #[arg(long)]
    pub no_decay_of_norms: bool,
    /// The share of a target that is spread evenly over all classes.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub label_smoothing: f64,
    /// The weight of a batch in the norms' running statistics.
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub momentum: f64,
    /// Recompute the activations of blocks for the backward pass: less memory, a third more
    /// arithmetic.
    #[arg(long)]
    pub recompute: bool,
    /// Settings that shapes do not show; the configuration is that of --init.
    #[command(flatten)]
    pub variant: VariantArgs,

    /// Height and width of the network's input [default: from the configuration of --init, or 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub size: Option<u32>,
    /// The smallest and the largest share of an image's area that a random crop covers.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        num_args = 1,
        default_values_t = [0.08, 1.0]
    )]
    pub crop: Vec<f64>,
    /// The probability that an image is mirrored.
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    pub flip: f64,
    /// The seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Steps between two checkpoints; each epoch also ends with one.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub checkpoint_every: u32,
    /// How it is run.
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl TrainArgs {
    /// The weights to start from: the checkpoint of a resumed run, or --init. The checkpoint
    /// contains everything that the original run took from --init.
    pub fn init(&self) -> Result<Option<Init>, CliError> {
        let checkpoint = self.out.join(CHECKPOINT);
        if self.resume && checkpoint.is_file() {
            // Differences to the options are reported when settings are compared.
            return Init::open(&checkpoint, &CheckpointOptions::default(), None).map(Some);
        }
        let options = self.variant.options(self.prefix.clone())?;
        self.init.as_ref().map(|path| Init::open(path, &options, self.key.as_deref())).transpose()
    }

    /// The network for this number of classes. Settings that shapes do not show come from the
    /// options, then from the configuration of --init.
    pub fn spec(&self, classes: usize, init: Option<&Init>) -> Result<ResNet, CliError> {
        let mut builder = match (self.model.as_deref(), init) {
            (Some("bottleneck"), _) => ResNet::builder(BlockKind::Bottleneck),
            (Some("basic"), _) => ResNet::builder(BlockKind::Basic),
            (None | Some("auto"), Some(Init { weights, .. })) => init::like(weights.spec()),
            (Some(name), _) => ResNet::named(name).map_err(Error::from)?,
            (None, None) => ResNet::named("resnet50").map_err(Error::from)?,
        };
        if !self.depths.is_empty() {
            builder = builder.depths(self.depths.clone());
        }
        if !self.planes.is_empty() {
            builder = builder.planes(self.planes.clone());
        }
        if let Some(planes) = self.stem_planes {
            builder = builder.stem_planes(planes);
        }
        if let Some(groups) = self.groups {
            builder = builder.groups(groups);
        }
        if let Some(width) = self.width_per_group {
            builder = builder.width_per_group(width);
        }
        let builder = builder.classes(Some(classes));
        let Some(Init { file, weights }) = init else {
            return Ok(self
                .variant
                .options(self.prefix.clone())?
                .apply(builder)
                .build()
                .map_err(Error::from)?);
        };
        let mut options = self
            .variant
            .options(self.prefix.clone())?
            .or(CheckpointOptions::of_network(weights.spec()));
        // A network with another number of stages is rejected later, with both networks named.
        options.replace_stride_with_dilation.take_if(|replace| !replace.contains(&true));
        options.apply(builder).build().map_err(Error::from).map_err(CliError::in_file(file))
    }

    /// The options of training.
    pub fn options(&self) -> TrainingOptions {
        let decay_all = !self.no_decay_of_norms;
        let optimizer = match (self.optimizer, Optimizer::adamw()) {
            (OptimizerArg::Adamw, Optimizer::AdamW { beta1, beta2, eps, weight_decay, .. }) => {
                let weight_decay = self.weight_decay.unwrap_or(weight_decay);
                Optimizer::AdamW { beta1, beta2, eps, weight_decay, decay_all }
            }
            _ => {
                let weight_decay = self.weight_decay.unwrap_or(1e-4);
                Optimizer::Sgd {
                    momentum: self.sgd_momentum,
                    nesterov: self.nesterov,
                    weight_decay,
                    decay_all,
                }
            }
        };
        TrainingOptions {
            optimizer,
            frozen: self
                .freeze
                .iter()
                .map(|prefix| prefix.trim_end_matches('.').to_owned())
                .collect(),
            label_smoothing: self.label_smoothing,
            batches_per_step: self.accumulate as usize,
            recompute: self.recompute,
            bn_momentum: Some(self.momentum),
        }
    }

    /// The learning rates of a run with this many steps per epoch.
    pub fn schedule(&self, steps_per_epoch: u64) -> Schedule {
        let epochs = |epochs: f64| (epochs * steps_per_epoch as f64).round() as u64;
        let decay = match self.decay {
            DecayArg::Constant => Decay::Constant,
            DecayArg::Cosine => Decay::Cosine,
            DecayArg::Step => Decay::Steps { every: epochs(self.every), factor: self.factor },
        };
        let steps = u64::from(self.epochs) * steps_per_epoch;
        Schedule { rate: self.lr, warmup: epochs(self.warmup), decay, steps }
    }

    /// The preprocessing of validation and of inference with the trained network. Training applies
    /// it after the random crop and flip. Filter, mean and standard deviation come from --init.
    ///
    /// # Errors
    /// If the configuration of --init asks for an unsupported preprocessing.
    pub fn preprocess(&self, init: Option<&Init>) -> Result<Preprocess, CliError> {
        let found = match init {
            Some(Init { weights, file }) => weights.config().preprocess().map_err(|error| {
                let way = "to train with ImageNet's normalisation, copy only the weights to \
                    another folder";
                CliError::Usage(format!("{}: {error}; {way}", file.display()))
            })?,
            None => None,
        };
        let found = found.map(|found| found.preprocess);
        // A stem with one channel takes grey images.
        let found = init.map(|init| init.weights.for_stem(found.unwrap_or_default())).or(found);
        let side = match (self.size, found.map(|found| found.crop)) {
            (Some(size), _) => size,
            (None, Some([height, width])) if height != width => {
                let says =
                    format!("the configuration of --init has the input size {height} x {width}");
                return Err(CliError::Usage(format!(
                    "{says}, but training needs a square: set --size"
                )));
            }
            (None, crop) => crop.map_or(224, |[side, _]| side),
        };
        let (resize, crop) = (Resize::Exact { height: side, width: side }, [side, side]);
        Ok(Preprocess {
            resize,
            crop,
            rounding: CropRounding::default(),
            ..found.unwrap_or_default()
        })
    }

    /// Checks the ranges of the numbers.
    pub fn check(&self) -> Result<(), CliError> {
        let refuse = |why: &str| Err(CliError::Usage(why.to_owned()));
        match self.crop.as_slice() {
            &[least, most] if 0.0 < least && least <= most && most <= 1.0 => {}
            _ => {
                return refuse(
                    "--crop: expected two shares, the smaller first, above 0 and at most 1",
                );
            }
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return refuse("--flip: expected a number from 0 to 1");
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return refuse("--momentum: expected a number from 0 to 1");
        }
        if !(self.lr.is_finite() && self.lr >= 0.0) {
            return refuse("--lr: expected a finite number, not negative");
        }
        let times = [self.warmup, self.every, self.factor];
        if times.iter().any(|time| !(time.is_finite() && *time >= 0.0)) {
            return refuse("--warmup, --every, --factor: expected finite numbers, not negative");
        }
        Ok(())
    }
}
