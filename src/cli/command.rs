//! The commands of the program, each with its arguments.

use clap::{Parser, Subcommand};

use super::bench::BenchArgs;
use super::block_args::BlockArgs;
use super::demo::DemoArgs;
use super::devices::DevicesArgs;
use super::embed::EmbedArgs;
use super::network_args::{ClassifyArgs, FeaturesArgs, RunArgs, VerifyArgs};
use super::plan::PlanArgs;
use super::selftest::SelftestArgs;
use super::shaders::ShadersArgs;
use super::train::TrainArgs;
use super::tune::TuneArgs;

/// Runs and trains ResNet, ResNeXt and DeepLab backbones on any GPU, with PyTorch's results and one
/// command buffer per block.
///
/// Without a command: runs blocks with PyTorch's weights and blocks of ResNet-50's size, checks
/// every result, and reports their speed.
#[derive(Debug, Parser)]
#[command(name = "bottleneck", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit codes: 0 success, 1 a check failed, 2 bad usage or input, 3 some images \
    failed, 4 a GPU failure, a lack of memory or a bug of the program, 130 Ctrl-C.\n\
    WGPU_BACKEND, WGPU_ADAPTER_NAME, WGPU_POWER_PREF, RUST_LOG and NO_COLOR are honoured. \
    WGPU_... and RUST_LOG must be UTF-8.\n\
    An output is written whole or not at all. A symbolic link is followed if its folder exists, \
    and never replaced."
)]
pub struct Cli {
    /// The command; without one, the default run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The arguments of the default run.
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
    /// Write the feature maps of an image, as images or values.
    Features(FeaturesArgs),
    /// Run a whole network on one input file: logits, or every feature map.
    Run(RunArgs),
    /// Write one vector per image, of whole folders; an interrupted run can be resumed.
    Embed(EmbedArgs),
    /// Measure the error of half precision relative to single precision, block by block, and
    /// whether both give the same classes for images.
    Verify(VerifyArgs),
    /// Check and then time blocks and networks, and compare them with the ceilings of this device.
    Bench(BenchArgs),
    /// Train a network on folders of images; a killed run can be resumed.
    Train(Box<TrainArgs>),
    /// Measure which kernels are fastest on this device, shape by shape, for the option --tuned of
    /// other commands.
    Tune(TuneArgs),
    /// Test whether this device and its driver compute correctly.
    Selftest(SelftestArgs),
}

impl Command {
    /// The `--batch` of the command, if it has one.
    pub fn batch(&self) -> Option<u32> {
        match self {
            Self::Classify(args) => Some(args.images.batch),
            Self::Features(args) => Some(args.images.batch),
            Self::Embed(args) => Some(args.images.batch),
            Self::Verify(args) => Some(args.images.batch),
            Self::Run(args) => args.batch,
            Self::Train(args) => Some(args.batch),
            _ => None,
        }
    }
}
