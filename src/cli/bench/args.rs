//! The arguments of `bottleneck bench`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use wgpu_bottleneck::wgpu::Backend;
use wgpu_bottleneck::{BlockOptions, Bottleneck, Error, Norm};

use super::super::block_args::BlockSettingsArgs;
use super::super::engine_args::EngineArgs;
use super::super::error::CliError;
use super::super::variant_args::VariantArgs;

/// Sets of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    /// Five blocks of ResNet-50, ResNeXt-50 and DeepLab, and ResNet-50: for comparison with other
    /// engines.
    PeersCheck,
    /// Every Bottleneck shape in torchvision's networks.
    Family,
}

/// An API of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// Vulkan.
    Vulkan,
    /// Metal.
    Metal,
    /// DirectX 12.
    Dx12,
    /// OpenGL.
    Gl,
}

impl From<BackendArg> for Backend {
    fn from(backend: BackendArg) -> Self {
        match backend {
            BackendArg::Vulkan => Self::Vulkan,
            BackendArg::Metal => Self::Metal,
            BackendArg::Dx12 => Self::Dx12,
            BackendArg::Gl => Self::Gl,
        }
    }
}

/// Blocks and networks, with sizes and batches.
#[derive(Debug, Args)]
pub struct WorkloadArgs {
    /// A set of workloads; peers-check if nothing else is requested.
    #[arg(long, value_enum, value_name = "NAME")]
    pub preset: Option<PresetArg>,
    /// Whole networks by torchvision's names, e.g. resnet50,resnext50_32x4d
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 1)]
    pub model: Vec<String>,
    /// The weights of a network or of a block to measure: a safetensors file, a .pth file or the
    /// folder of a model, as for `run` and `block`.
    #[arg(long, value_name = "W", conflicts_with = "block")]
    pub weights: Option<PathBuf>,
    /// The prefix of the keys of --weights: `backbone.` of a network, `layer2.0.` of a block
    /// [default: the only prefix with a whole network]
    #[arg(long, value_name = "P", requires = "weights")]
    pub prefix: Option<String>,
    /// The dict of the .pth file of --weights, e.g. `teacher` [default: the only dict with a
    /// network]
    #[arg(long, value_name = "NAME[.NAME]", requires = "weights")]
    pub key: Option<String>,
    /// A configuration for --weights, as for `run`.
    #[arg(long, value_name = "C.json", requires = "weights")]
    pub config: Option<PathBuf>,
    /// Settings of the networks of --model and --weights.
    #[command(flatten)]
    pub variant: VariantArgs,
    /// A Bottleneck with given parameters.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Height and width of the images of --model, --weights and --preset family [default: from the
    /// configuration of --weights, or 224], and of the input of a block; each is a separate
    /// workload.
    #[arg(long, value_name = "HxW,HxW", value_delimiter = ',', num_args = 1, value_parser = size)]
    pub size: Vec<[usize; 2]>,
    /// Batches, each a separate workload.
    #[arg(long, value_name = "N,N", value_delimiter = ',', num_args = 1, default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Vec<u32>,
    /// Only the workloads whose name contains one of these.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', num_args = 1,
        value_parser = NonEmptyStringValueParser::new())]
    pub only: Vec<String>,
}

impl WorkloadArgs {
    /// Refuses settings of a workload that was not requested.
    pub fn check(&self) -> Result<(), CliError> {
        let norm = (self.variant.norm.norm.is_some() || self.variant.norm.eps.is_some())
            .then_some("--norm and --eps");
        let of_network = self.variant.first_given().or(norm);
        if let Some(option) = of_network.filter(|_| self.model.is_empty() && self.weights.is_none())
        {
            return Err(CliError::Usage(format!(
                "{option} is a setting of a network: also pass --model or --weights"
            )));
        }
        let of_block = self.shape.settings.first_given();
        match of_block.filter(|_| !self.shape.block && self.weights.is_none()) {
            Some(option) => Err(CliError::Usage(format!(
                "{option} is a setting of a block: also pass --block or --weights"
            ))),
            None => Ok(()),
        }
    }
}

/// `bottleneck bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Inputs, and weights without --weights, are seeded: the same in every run. Every \
    workload is checked before it is timed: a block against the reference (f64 on the CPU), a \
    network against the reference at 64x64 and against the other plan at its own size. After a \
    wrong result the exit code is 1, and no times are printed.\n\
    With --adapter all, every workload is measured on each adapter in turn, and --json prints a \
    list of reports."
)]
pub struct BenchArgs {
    /// The workloads.
    #[command(flatten)]
    pub what: WorkloadArgs,
    /// How they are run; --adapter all: on every adapter, side by side.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Measure the best adapter of each of these backends, in turn; with --adapter, the adapter
    /// that it selects; with --adapter all, all adapters of these backends.
    #[arg(long, value_enum, value_name = "B,B", value_delimiter = ',', num_args = 1)]
    pub backend: Vec<BackendArg>,
    /// Measure briefly, only to test that it works. Reports no shares of ceilings.
    #[arg(long)]
    pub quick: bool,
    /// Load all workloads, then time them in turns, one round of each at a time: for ratios between
    /// them on a machine with varying speed. Needs the memory of all of them at once.
    #[arg(long)]
    pub in_turns: bool,
    /// Also show the GPU time of every dispatch (JSON always has them).
    #[arg(long)]
    pub steps: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long)]
    pub csv: bool,
    /// Also write a page with a roofline plot and the time of every layer.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Also write a trace of a run of each workload, for Perfetto or chrome://tracing.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Compare two files from --json with the same workloads: how much faster B is than A, with
    /// bounds.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"],
        conflicts_with_all = ["preset", "model", "weights", "block", "only", "quick", "in_turns",
            "steps", "adapter", "backend", "kernel", "tuned", "csv", "html", "trace"])]
    pub compare: Vec<PathBuf>,
}

/// The parameters of `--block`.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// A Bottleneck with these parameters, as in torchvision, on inputs of --size.
    #[arg(long, requires_all = ["inplanes", "planes", "size"])]
    pub block: bool,
    /// Input channels.
    #[arg(long, value_name = "C", requires = "block")]
    pub inplanes: Option<usize>,
    /// Planes: a quarter of the output channels.
    #[arg(long, value_name = "P", requires = "block")]
    pub planes: Option<usize>,
    /// Its settings, or those of a block in --weights.
    #[command(flatten)]
    pub settings: BlockSettingsArgs,
    /// Use a convolution and a norm as the shortcut, even if the block does not require them.
    #[arg(long, requires = "block")]
    pub downsample: bool,
}

impl ShapeArgs {
    /// The requested block, if any.
    pub fn bottleneck(&self) -> Result<Option<Bottleneck>, CliError> {
        let (true, Some(inplanes), Some(planes)) = (self.block, self.inplanes, self.planes) else {
            return Ok(None);
        };
        let BlockOptions { stride, dilation, groups, base_width, .. } =
            self.settings.options(Norm::default())?;
        let needed = stride != 1 || planes.checked_mul(4) != Some(inplanes);
        let block = Bottleneck::torchvision(inplanes, planes)
            .stride(stride)
            .groups(groups.unwrap_or(1))
            .base_width(base_width.unwrap_or(64))
            .dilation(dilation)
            .downsample(self.downsample || needed);
        Ok(Some(block.build().map_err(Error::from)?))
    }
}

/// `56` or `56x48`, height first.
fn size(text: &str) -> Result<[usize; 2], String> {
    let number = |text: &str| text.parse().ok().filter(|&number| number > 0);
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    number(height)
        .zip(number(width))
        .map(<[usize; 2]>::from)
        .ok_or_else(|| "expected a size as 56 or 56x48".to_owned())
}
