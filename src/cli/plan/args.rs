//! The arguments of `bottleneck plan`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::super::block_args::BlockSettingsArgs;
use super::super::engine_args::EngineArgs;
use super::super::source_args::SourceArgs;

/// `bottleneck plan`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("size").required(true).args(["input", "shape"])))]
#[command(
    after_help = "--weights has a block, with the keys conv1.weight, bn1.running_mean, ..., or a \
    whole network. --prefix layer2.0. selects one block of a network. --stride, --groups, \
    --base-width, --dilation and --rate are settings of a block; --model, --config, \
    --replace-stride-with-dilation, --multi-grid, --stride-in and --max-pool are those of a \
    network."
)]
pub struct PlanArgs {
    /// The block or the network.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Settings of a block.
    #[command(flatten)]
    pub settings: BlockSettingsArgs,
    /// How it is run.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// A file with a tensor `input` (NCHW); only its shape is used.
    #[arg(long, value_name = "IN.safetensors")]
    pub input: Option<PathBuf>,
    /// The shape of the input, instead of a file.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',', num_args = 1)]
    pub shape: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Ignored, so that `plan` can replace `block` or `run` in a command line: nothing is written.
    #[arg(long, hide = true)]
    pub output: Option<PathBuf>,
    /// Ignored, like `--output`: nothing is run.
    #[arg(long, hide = true)]
    pub verify: bool,
}
