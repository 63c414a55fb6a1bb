//! The arguments of every command, and what a block's arguments mean to the library.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use wgpu_bottleneck::error::SpecError;
use wgpu_bottleneck::gpu::AdapterChoice;
use wgpu_bottleneck::kernel::DeviceKind;
use wgpu_bottleneck::network::NormKind;
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Precision};
use wgpu_bottleneck::shader::Target;
use wgpu_bottleneck::{
    Block, BlockOptions, Gpu, GpuOptions, LoadOptions, ModelConfig, Norm, PlanKind, StateDict, TrainableBlock,
};

use super::bench::BenchArgs;
use super::embed::EmbedArgs;
use super::error::CliError;
use super::network_args::{ClassifyArgs, FeaturesArgs, RunArgs, VerifyArgs};
use super::train::TrainArgs;
use super::tune::{self, TuneArgs};

/// ResNet, ResNeXt and DeepLab backbones on any GPU: PyTorch's numbers, one command buffer per block.
///
/// Without a command: runs blocks that PyTorch wrote and blocks of ResNet-50's size, checks every number, and reports how
/// fast they were.
#[derive(Debug, Parser)]
#[command(name = "bottleneck", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit codes: 0 good, 1 a check failed, 2 bad usage or input, 3 some images failed, 4 the GPU \
    failed, 130 Ctrl-C.\n\
    WGPU_BACKEND, WGPU_ADAPTER_NAME, WGPU_POWER_PREF, RUST_LOG and NO_COLOR are honoured.")]
pub struct Cli {
    /// What to do; nothing means the demonstration.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The demonstration's arguments.
    #[command(flatten)]
    pub demo: DemoArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the adapters, their limits and their features.
    Devices(DevicesArgs),
    /// Run one block on one input.
    Block(BlockArgs),
    /// Show what would be run for a block: steps, dispatches, command buffers, memory.
    Plan(PlanArgs),
    /// Write every kernel in another language, for whoever ports or audits them.
    Shaders(ShadersArgs),
    /// Name the likeliest classes of pictures.
    Classify(ClassifyArgs),
    /// Show the feature maps of a picture as pictures.
    Features(FeaturesArgs),
    /// Run a whole network on one input file: logits, or every feature map.
    Run(RunArgs),
    /// Write the vector of every picture of some folders, in runs that may be interrupted and gone on with.
    Embed(EmbedArgs),
    /// Say how far half precision is from single, block by block, and whether both see the same in pictures.
    Verify(VerifyArgs),
    /// Measure how fast blocks and networks are here, and how far from what this device can do at most.
    Bench(BenchArgs),
    /// Train a network on folders of pictures, in runs that may be killed and gone on with.
    Train(Box<TrainArgs>),
    /// Measure which kernels are fastest here, shape by shape, for the other commands' --tuned.
    Tune(TuneArgs),
    /// Test whether this device and its driver compute right.
    Selftest(SelftestArgs),
}

/// Which adapter.
#[derive(Debug, Clone, Args)]
pub struct AdapterArgs {
    /// The adapter: part of its name, driver or backend, or its index in `bottleneck devices`.
    #[arg(long, value_name = "A", value_parser = NonEmptyStringValueParser::new())]
    pub adapter: Option<String>,
}

impl AdapterArgs {
    /// The device that is asked for; the best one where none is.
    pub fn gpu(&self) -> Result<Gpu, CliError> {
        let adapter = self.adapter.as_deref().map_or(AdapterChoice::Best, AdapterChoice::parse);
        Ok(Gpu::with_options(&GpuOptions { adapter, matrices: true, ..Default::default() })?)
    }

    /// Several devices of a software adapter, one per core and at most [`MOST_DEVICES`], as its kernels compile
    /// on one thread per device; one device of any other adapter.
    pub fn gpus(&self) -> Result<Vec<Gpu>, CliError> {
        let first = self.gpu()?;
        let software = first.capabilities().kind == DeviceKind::Software;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let count = if software { cores.min(MOST_DEVICES) } else { 1 };
        let mut gpus = vec![first];
        for _ in 1..count {
            gpus.push(self.gpu()?);
        }
        Ok(gpus)
    }

    /// The same for commands that run what was run before: compiled kernels are kept in the user's cache directory, where the
    /// device can.
    pub fn gpu_with_kept_pipelines(&self) -> Result<Gpu, CliError> {
        let gpu = self.gpu()?;
        if let Some(file) = gpu.default_pipelines_path() {
            gpu.keep_pipelines(&file)?;
        }
        Ok(gpu)
    }
}

/// Devices of one software adapter. Beyond these their worker threads, one per core and device, are in
/// each other's way.
const MOST_DEVICES: usize = 8;

/// `bottleneck` without a command.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
    /// Use the kernel whose name contains this wherever one fits, instead of the one that ranks first.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
}

/// `bottleneck devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Fused or unfused.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PlanArg {
    /// Three steps: norms folded, ReLU and the shortcut inside the convolutions.
    Fused,
    /// Every operation its own step.
    Unfused,
}

/// Which block, and how it is to be run.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// The weights, a safetensors file or one of torch.save (.pth), with PyTorch's keys (conv1.weight, bn1.running_mean, ..., downsample.1.bias).
    #[arg(long, value_name = "W.safetensors")]
    pub weights: PathBuf,
    /// Take the block whose keys begin so, e.g. `layer2.0.`
    #[arg(long, value_name = "P", default_value = "")]
    pub prefix: String,
    /// Stride of the 3x3 convolution and the downsample.
    #[arg(long, value_name = "S", default_value_t = 1, allow_negative_numbers = true)]
    pub stride: usize,
    /// Groups of the 3x3 convolution; unset: as the weights' shapes say.
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub groups: Option<usize>,
    /// Width per group and 64 planes; unset: as the weights' shapes say.
    #[arg(long, value_name = "B", allow_negative_numbers = true)]
    pub base_width: Option<usize>,
    /// Dilation and padding of the 3x3 convolution [default: 1]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub dilation: Option<usize>,
    /// DeepLab's form: dilation and padding of the 3x3 convolution, with groups 1 and base width 64.
    #[arg(long, value_name = "R", allow_negative_numbers = true, conflicts_with = "dilation")]
    pub rate: Option<usize>,
    /// Its norms.
    #[command(flatten)]
    pub norm: NormArgs,
    /// How it is run.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Which norm layer.
#[derive(Debug, Args)]
pub struct NormArgs {
    /// Added to the variance by the norms [default: from the configuration, or 1e-5]
    #[arg(long, value_name = "E", allow_hyphen_values = true)]
    pub eps: Option<f64>,
    /// The norm layer: batch, frozen or identity [default: from the configuration, or batch]
    #[arg(long, value_name = "NORM")]
    pub norm: Option<String>,
}

impl NormArgs {
    /// The norm layer that was given, by its short name or PyTorch's.
    pub fn kind(&self) -> Result<Option<NormKind>, CliError> {
        let Some(name) = &self.norm else { return Ok(None) };
        let name = match name.as_str() {
            "batch" => "BatchNorm2d",
            "frozen" => "FrozenBatchNorm2d",
            "identity" => "Identity",
            other => other,
        };
        Ok(Some(Norm::from_name(name, 0.0).map_err(wgpu_bottleneck::Error::from)?.kind()))
    }
}

/// How a block or a network is run, and where.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Which plan to run.
    #[arg(long, value_enum, default_value_t = PlanArg::Fused)]
    pub plan: PlanArg,
    /// Use the kernel whose name contains this wherever one fits, instead of the one that ranks first.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
    /// MiB by which transformed weights (Winograd's) may exceed the convolutions' own, over all of the network; 0 for none.
    #[arg(long, value_name = "MIB", default_value_t = 9)]
    pub extra_weights: u32,
    /// Use the kernels that `bottleneck tune` found to be fastest on this device, instead of those that rank first; of FILE,
    /// or of the user's cache directory. Numbers may then differ in their last bits from one tuning to the next.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "kernel")]
    pub tuned: Option<Option<PathBuf>>,
    /// How often it will be run before the program ends: a software driver gets kernels that it compiles quickly for few runs, and
    /// those that run fastest for many. Unset: as often as the command runs it; for embed and bench, often.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["kernel", "tuned"])]
    pub runs: Option<u32>,
    /// The type of weights and activations on the device; sums are f32. f16: an error where the device has none, or where a layer's
    /// numbers are too large for it. auto: f16 where it can be, layer by layer.
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
}

/// The type of weights and activations.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PrecisionArg {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Half precision where it can be.
    Auto,
}

impl PrecisionArg {
    /// As it is written on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Auto => "auto",
        }
    }
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::F16 => Self::F16,
            PrecisionArg::Auto => Self::Auto,
        }
    }
}

impl EngineArgs {
    /// Fused or unfused.
    pub fn plan_kind(&self) -> PlanKind {
        match self.plan {
            PlanArg::Fused => PlanKind::Fused,
            PlanArg::Unfused => PlanKind::Unfused,
        }
    }

    /// How it is loaded on a device, or `None` for none in particular, by a command that runs it so many times, or `None` for often.
    pub fn load_options(&self, gpu: Option<&Gpu>, runs: Option<u32>) -> Result<LoadOptions, CliError> {
        let ranked = self.runs.or(runs).map_or(KernelChoice::Ranked, KernelChoice::RankedFor);
        let kernels = match (&self.tuned, gpu) {
            (None, _) => self.kernel.clone().map_or(ranked, KernelChoice::Named),
            (Some(file), Some(gpu)) => tune::kernels(file.as_deref(), gpu, ranked)?,
            (Some(_), None) => {
                return Err(CliError::Usage("--tuned: times are of one device; --adapter says which".to_owned()));
            }
        };
        let budget = MemoryBudget { extra_weight_bytes: u64::from(self.extra_weights) << 20 };
        let precision = self.precision.into();
        Ok(LoadOptions { plan: self.plan_kind(), kernels, budget, precision, ..Default::default() })
    }
}

/// `bottleneck block`.
#[derive(Debug, Args)]
pub struct BlockArgs {
    /// The block.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// A file with a tensor `input` (NCHW); other tensors in it are ignored.
    #[arg(long, value_name = "IN.safetensors")]
    pub input: PathBuf,
    /// The file to write, with a tensor `out` (NCHW, f32). It appears whole or not at all.
    #[arg(long, value_name = "OUT.safetensors")]
    pub output: PathBuf,
    /// Also run the reference on the CPU, and fail where the result is beyond tolerance.
    #[arg(long)]
    pub verify: bool,
    /// Run in training mode: norms take the batch's statistics. Also writes the norms' running statistics after the batch, under their
    /// keys, and, where the input file holds `grad_out`, the gradient of `out`, `grad.input` and `grad.KEY` for every parameter.
    #[arg(long, conflicts_with = "plan")]
    pub train: bool,
    /// The weight of the batch in the running statistics; none: 1 / batches so far [default: 0.1]
    #[arg(long, value_name = "M", requires = "train")]
    pub momentum: Option<Momentum>,
}

/// PyTorch's momentum of a norm: a number or `none`.
#[derive(Debug, Clone, Copy)]
pub struct Momentum(pub Option<f64>);

impl Default for Momentum {
    fn default() -> Self {
        Self(Some(0.1))
    }
}

impl std::str::FromStr for Momentum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = || text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
        match text {
            "none" => Ok(Self(None)),
            _ => Ok(Self(Some(number().ok_or("expected a number from 0 to 1, or none")?))),
        }
    }
}

/// `bottleneck plan`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("size").required(true).args(["input", "shape"])))]
pub struct PlanArgs {
    /// The block.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// A file with a tensor `input` (NCHW), of which only the shape matters.
    #[arg(long, value_name = "IN.safetensors")]
    pub input: Option<PathBuf>,
    /// The shape of the input, instead of a file.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',', num_args = 1)]
    pub shape: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Ignored, so that `block` can become `plan` in a command line: nothing is written.
    #[arg(long, hide = true)]
    pub output: Option<PathBuf>,
    /// Ignored, as `--output`: nothing is run.
    #[arg(long, hide = true)]
    pub verify: bool,
}

/// A language to write kernels in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TargetArg {
    /// WGSL for browsers, comments kept: NAME.wgsl
    Wgsl,
    /// SPIR-V 1.3, for Vulkan: NAME.spv
    Spirv,
    /// Metal Shading Language 2.0: NAME.metal
    Msl,
    /// HLSL, shader model 6.0: NAME.hlsl
    Hlsl,
    /// GLSL ES 3.10: NAME.comp
    Glsl,
}

impl From<TargetArg> for Target {
    fn from(target: TargetArg) -> Self {
        match target {
            TargetArg::Wgsl => Self::Wgsl,
            TargetArg::Spirv => Self::SpirV,
            TargetArg::Msl => Self::Msl,
            TargetArg::Hlsl => Self::Hlsl,
            TargetArg::Glsl => Self::Glsl,
        }
    }
}

/// `bottleneck shaders`.
#[derive(Debug, Args)]
#[command(
    after_help = "Beside the kernels stands index-TARGET.json, which says of each what a launch needs: entry point, \
    workgroup, bindings and their places, members of Params. It lists the kernels of this call; its `skipped` are those that \
    the language cannot express, each with the reason; stderr has their number.\n\
    Every kernel has been validated by naga. They are written as the engine compiles them: without bounds checks and loop \
    guards, so Params and buffers must be right."
)]
pub struct ShadersArgs {
    /// The language.
    #[arg(long, value_enum, value_name = "TARGET")]
    pub target: TargetArg,
    /// The folder to write into, created if its parent is there. Files of the same names are overwritten, others left alone;
    /// each appears whole or not at all, and none before all are written.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write only the kernels whose name contains this.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
}

/// `bottleneck selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Test only the kernels whose name contains this, among them those that no block uses; with --mutants, prove only the
    /// mutants that change such a kernel.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
    /// Load this deliberate fault: the test must fail.
    #[arg(long, value_name = "NAME", conflicts_with = "mutants")]
    pub mutant: Option<String>,
    /// Prove that the test finds faults: list every mutant and the check that catches it.
    #[arg(long)]
    pub mutants: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
}

impl SpecArgs {
    /// The block, out of its file.
    pub fn block(&self) -> Result<Block, CliError> {
        let dict = StateDict::open(&self.weights)?;
        let options = self.options(&dict)?;
        Block::from_state_dict(&dict, &self.prefix, &options).map_err(CliError::in_file(&self.weights))
    }

    /// The block with its tensors as they are.
    pub fn trainable_block(&self) -> Result<TrainableBlock, CliError> {
        let dict = StateDict::open(&self.weights)?;
        let options = self.options(&dict)?;
        TrainableBlock::from_state_dict(&dict, &self.prefix, &options).map_err(CliError::in_file(&self.weights))
    }

    /// The block's settings. Norm and eps default to those in the metadata of a trained network.
    fn options(&self, dict: &StateDict) -> Result<BlockOptions, CliError> {
        let config = ModelConfig::in_metadata_of(&self.weights, dict)?;
        let said = config.options().map_err(wgpu_bottleneck::Error::from)?;
        let norm = self.norm.kind()?.or(said.norm).unwrap_or_default().norm(self.norm.eps.or(said.eps));
        let (mut groups, mut base_width) = (self.groups, self.base_width);
        if let Some(rate) = self.rate {
            if rate == 0 {
                return Err(wgpu_bottleneck::Error::from(SpecError::Zero { parameter: "rate" }).into());
            }
            // DeepLab's Bottleneck has neither parameter: whoever gives them means another block.
            for (name, given, fixed) in [("--groups", groups, 1), ("--base-width", base_width, 64)] {
                if let Some(given) = given.filter(|&given| given != fixed) {
                    let why = format!("--rate is DeepLab's form, whose {} is always {fixed}", &name[2..]);
                    return Err(CliError::Usage(format!("{name} {given}: {why}; use --dilation")));
                }
            }
            (groups, base_width) = (Some(1), Some(64));
        }
        let dilation = self.rate.or(self.dilation).unwrap_or(1);
        Ok(BlockOptions { stride: self.stride, dilation, groups, base_width, norm })
    }
}

/// The tensor `input` of a file.
pub fn read_input(path: &Path) -> Result<wgpu_bottleneck::HostTensor, CliError> {
    StateDict::open(path)?.image("input").map_err(CliError::in_file(path))
}
