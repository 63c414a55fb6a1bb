//! The commands, and the arguments that several of them share.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use wgpu_bottleneck::gpu::AdapterChoice;
use wgpu_bottleneck::kernel::DeviceKind;
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Precision};
use wgpu_bottleneck::shader::Target;
use wgpu_bottleneck::{Gpu, GpuOptions, LoadOptions, PlanKind, StateDict};

use super::bench::BenchArgs;
use super::block_args::BlockArgs;
use super::embed::EmbedArgs;
use super::error::CliError;
use super::network_args::{ClassifyArgs, FeaturesArgs, RunArgs, VerifyArgs};
use super::plan::PlanArgs;
use super::train::TrainArgs;
use super::tune::{self, TuneArgs};

/// ResNet, ResNeXt and DeepLab backbones on any GPU: PyTorch's numbers, one command buffer per
/// block.
///
/// Without a command: runs blocks with PyTorch's weights and blocks of ResNet-50's size, checks
/// every result, and reports their speed.
#[derive(Debug, Parser)]
#[command(name = "bottleneck", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit codes: 0 success, 1 a check failed, 2 bad usage or input, 3 some images \
    failed, 4 a GPU failure, 130 Ctrl-C.\n\
    WGPU_BACKEND, WGPU_ADAPTER_NAME, WGPU_POWER_PREF, RUST_LOG and NO_COLOR are honoured."
)]
pub struct Cli {
    /// The command; the default is the demonstration.
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
    /// Show what would run for a block or a network: steps, dispatches, command buffers, memory.
    Plan(PlanArgs),
    /// Write every kernel in another language, for porting and auditing.
    Shaders(ShadersArgs),
    /// Name the most likely classes of images.
    Classify(ClassifyArgs),
    /// Write the feature maps of an image as images.
    Features(FeaturesArgs),
    /// Run a whole network on one input file: logits, or every feature map.
    Run(RunArgs),
    /// Write one vector per image, of whole folders; an interrupted run can be resumed.
    Embed(EmbedArgs),
    /// Measure how far half precision is from single precision, block by block, and whether both
    /// agree on the classes of images.
    Verify(VerifyArgs),
    /// Check, then time blocks and networks, and compare them with the ceilings of this device.
    Bench(BenchArgs),
    /// Train a network on folders of images; a killed run can be resumed.
    Train(Box<TrainArgs>),
    /// Measure which kernels are fastest on this device, shape by shape, for --tuned of other
    /// commands.
    Tune(TuneArgs),
    /// Test whether this device and its driver compute correctly.
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
    /// Opens the requested device; by default, the best one.
    pub fn gpu(&self) -> Result<Gpu, CliError> {
        let adapter = self.adapter.as_deref().map_or(AdapterChoice::Best, AdapterChoice::parse);
        Ok(Gpu::with_options(&GpuOptions { adapter, matrices: true, ..Default::default() })?)
    }

    /// Opens one device per core of a software adapter, up to [`MOST_DEVICES`], because a software
    /// driver compiles on one thread per device. Opens one device of any other adapter.
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

    /// Opens the device for commands that often run the same kernels: compiled kernels are kept in
    /// the user's cache directory, if the device supports that.
    pub fn gpu_with_kept_pipelines(&self) -> Result<Gpu, CliError> {
        let gpu = self.gpu()?;
        if let Some(file) = gpu.default_pipelines_path() {
            gpu.keep_pipelines(&file)?;
        }
        Ok(gpu)
    }
}

/// The largest number of devices of one software adapter. Each starts a worker thread per core, so
/// more devices would compete for the cores.
const MOST_DEVICES: usize = 8;

/// `bottleneck` without a command.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
    /// Use the kernel whose name contains this wherever one fits, instead of the one that ranks
    /// first.
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
    /// Every operation as its own step.
    Unfused,
}

/// How a block or a network is run, and where.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Which plan to run.
    #[arg(long, value_enum, default_value_t = PlanArg::Fused)]
    pub plan: PlanArg,
    /// Use the kernel whose name contains this wherever one fits, instead of the one that ranks
    /// first.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
    /// MiB that transformed weights (Winograd's) may take beyond those of the convolutions, over
    /// the whole network; 0: no transformed weights.
    #[arg(long, value_name = "MIB", default_value_t = 9)]
    pub extra_weights: u32,
    /// Use the kernels that `bottleneck tune` found to be fastest on this device, instead of those
    /// that rank first. The table is FILE, or the one in the user's cache directory. The last bits
    /// of results may differ between tunings.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "kernel"
    )]
    pub tuned: Option<Option<PathBuf>>,
    /// How often the plan will run. For few runs, a software driver gets kernels that it compiles
    /// quickly; for many, those that run fastest. Unset: as often as the command runs it; embed,
    /// train and bench: often.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["kernel", "tuned"]
    )]
    pub runs: Option<u32>,
    /// The type of weights and activations on the device; sums are f32. f16: an error if the device
    /// has no f16, or if the numbers of a layer are too large for it. auto: f16 where possible,
    /// layer by layer.
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
    /// Half precision where possible.
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

    /// The options to load a plan on `gpu` (`None`: on no particular device), for a command that
    /// runs it `runs` times (`None`: often).
    pub fn load_options(
        &self,
        gpu: Option<&Gpu>,
        runs: Option<u32>,
    ) -> Result<LoadOptions, CliError> {
        let ranked = self.runs.or(runs).map_or(KernelChoice::Ranked, KernelChoice::RankedFor);
        let kernels = match (&self.tuned, gpu) {
            (None, _) => self.kernel.clone().map_or(ranked, KernelChoice::Named),
            (Some(file), Some(gpu)) => tune::kernels(file.as_deref(), gpu, ranked)?,
            (Some(_), None) => {
                return Err(CliError::Usage(
                    "--tuned: the times are of one device; choose it with --adapter".to_owned(),
                ));
            }
        };
        let budget = MemoryBudget { extra_weight_bytes: u64::from(self.extra_weights) << 20 };
        let precision = self.precision.into();
        Ok(LoadOptions { plan: self.plan_kind(), kernels, budget, precision, ..Default::default() })
    }
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
    after_help = "index-TARGET.json, next to the kernels, has what a launch of each needs: entry \
    point, workgroup, bindings and their places, members of Params. It lists the kernels of this \
    call. `skipped` lists those that the language cannot express, each with the reason; stderr \
    has their number.\n\
    naga has validated every kernel. They are written as the engine compiles them: without bounds \
    checks and loop guards, so Params and buffers must be correct."
)]
pub struct ShadersArgs {
    /// The language.
    #[arg(long, value_enum, value_name = "TARGET")]
    pub target: TargetArg,
    /// The output folder; created if its parent exists. Files of the same names are overwritten,
    /// others are kept. Each file is written atomically, and none appears before all are written.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write only the kernels whose name contains this.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
}

/// `bottleneck selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Test only the kernels whose name contains this, including those that no block uses; with
    /// --mutants, prove only the mutants that change such a kernel.
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

/// The tensor `input` of a file.
pub fn read_input(path: &Path) -> Result<wgpu_bottleneck::HostTensor, CliError> {
    StateDict::open(path)?.nchw("input").map_err(CliError::in_file(path))
}
