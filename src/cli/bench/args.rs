//! The arguments of `bottleneck bench`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use wgpu_bottleneck::wgpu::Backend;
use wgpu_bottleneck::{Bottleneck, Error};

use super::super::args::EngineArgs;
use super::super::error::CliError;

/// Workloads that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    /// Five blocks of ResNet-50, ResNeXt-50 and DeepLab, and ResNet-50: what other engines are compared on.
    PeersCheck,
    /// Every shape of Bottleneck in torchvision's networks.
    Family,
}

/// An API to reach devices by.
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

/// Blocks and networks, at sizes, in batches.
#[derive(Debug, Args)]
pub struct WorkloadArgs {
    /// Workloads that belong together; peers-check where nothing else is asked for.
    #[arg(long, value_enum, value_name = "NAME")]
    pub preset: Option<PresetArg>,
    /// Whole networks by torchvision's names, e.g. resnet50,resnext50_32x4d
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 1)]
    pub model: Vec<String>,
    /// A Bottleneck of one's own.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// For each stage of --model but the first, whether its stride becomes a dilation, as torchvision's parameter:
    /// false,true,true gives DeepLab's output stride of 8.
    #[arg(long, value_name = "B,B,B", value_delimiter = ',', num_args = 1, requires = "model")]
    pub replace_stride_with_dilation: Vec<bool>,
    /// Height and width of the images of --model and --preset family [default: 224], and of the input of --block; each of
    /// several is a workload of its own.
    #[arg(long, value_name = "HxW,HxW", value_delimiter = ',', num_args = 1, value_parser = size)]
    pub size: Vec<[usize; 2]>,
    /// Batches, each a workload of its own.
    #[arg(long, value_name = "N,N", value_delimiter = ',', num_args = 1, default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Vec<u32>,
    /// Only the workloads whose name contains this.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub only: Option<String>,
}

/// `bottleneck bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Weights and inputs are seeded, the same in every run. Before any time is taken, every workload's numbers \
    are checked: a block's against the reference (f64 on the CPU), a network's against the reference at 64x64 and against \
    the other plan at its own size. Wrong numbers are exit code 1, and no time is printed.\n\
    --adapter all measures every adapter, each workload on one after the other; --json is then a list of reports."
)]
pub struct BenchArgs {
    /// What is measured.
    #[command(flatten)]
    pub what: WorkloadArgs,
    /// How they are run; --adapter all: on every adapter there is, side by side.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// On the best adapter of each of these, side by side; with --adapter on the one that fits it, with --adapter all on all.
    #[arg(long, value_enum, value_name = "B,B", value_delimiter = ',', num_args = 1)]
    pub backend: Vec<BackendArg>,
    /// Spend little time: to see that it works, not to compare.
    #[arg(long)]
    pub quick: bool,
    /// Load all workloads, then time them in turns, a round of each after a round of the other: for ratios between them on a machine
    /// whose speed comes and goes. Takes the memory of all at once.
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
    /// Compare two files that --json wrote, of the same workloads: how much faster B is than A, within which bounds.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"],
        conflicts_with_all = ["preset", "model", "block", "only", "quick", "in_turns", "steps", "adapter", "backend",
            "kernel", "tuned", "csv", "html", "trace"])]
    pub compare: Vec<PathBuf>,
}

/// The parameters of `--block`.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// A Bottleneck of these parameters, as torchvision's, on inputs of --size.
    #[arg(long, requires_all = ["inplanes", "planes", "size"])]
    pub block: bool,
    /// Input channels.
    #[arg(long, value_name = "C", requires = "block")]
    pub inplanes: Option<usize>,
    /// Planes: a quarter of the output channels.
    #[arg(long, value_name = "P", requires = "block")]
    pub planes: Option<usize>,
    /// Stride of the 3x3 convolution and the downsample [default: 1]
    #[arg(long, value_name = "S", requires = "block")]
    pub stride: Option<usize>,
    /// Groups of the 3x3 convolution [default: 1]
    #[arg(long, value_name = "G", requires = "block")]
    pub groups: Option<usize>,
    /// Width per group and 64 planes [default: 64]
    #[arg(long, value_name = "B", requires = "block")]
    pub base_width: Option<usize>,
    /// Dilation and padding of the 3x3 convolution [default: 1]
    #[arg(long, value_name = "D", requires = "block")]
    pub dilation: Option<usize>,
    /// A convolution and norm as the shortcut, even where it could be the input.
    #[arg(long, requires = "block")]
    pub downsample: bool,
}

impl ShapeArgs {
    /// The block that is asked for, if one is.
    pub fn bottleneck(&self) -> Result<Option<Bottleneck>, CliError> {
        let (true, Some(inplanes), Some(planes)) = (self.block, self.inplanes, self.planes) else { return Ok(None) };
        let stride = self.stride.unwrap_or(1);
        let needed = stride != 1 || planes.checked_mul(4) != Some(inplanes);
        let block = Bottleneck::torchvision(inplanes, planes)
            .stride(stride)
            .groups(self.groups.unwrap_or(1))
            .base_width(self.base_width.unwrap_or(64))
            .dilation(self.dilation.unwrap_or(1))
            .downsample(self.downsample || needed);
        Ok(Some(block.build().map_err(Error::from)?))
    }
}

/// `56` or `56x48`, height first.
fn size(text: &str) -> Result<[usize; 2], String> {
    let number = |text: &str| text.parse().ok().filter(|&number| number > 0);
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    number(height).zip(number(width)).map(<[usize; 2]>::from).ok_or_else(|| "expected a size as 56 or 56x48".to_owned())
}
