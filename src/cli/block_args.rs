//! The arguments of `bottleneck block`, and the settings of a block that shapes do not show.

use std::path::{Path, PathBuf};

use clap::Args;
use wgpu_bottleneck::error::SpecError;
use wgpu_bottleneck::{Block, BlockOptions, BlockState, Error, Norm, StateDict};

use super::engine_args::EngineArgs;
use super::error::CliError;
use super::files::OutputFile;
use super::variant_args::NormArgs;

/// Settings of a block that the shapes of its weights do not show.
#[derive(Debug, Clone, Args)]
pub struct BlockSettingsArgs {
    /// Stride of the 3x3 convolution and the downsample of a block [default: 1]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub stride: Option<usize>,
    /// Groups of the 3x3 convolution of a block [default: from the shapes of the weights, or 1]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub groups: Option<usize>,
    /// Width per group of a block with 64 planes [default: from the shapes of the weights, or 64]
    #[arg(long, value_name = "B", allow_negative_numbers = true)]
    pub base_width: Option<usize>,
    /// Dilation and padding of the 3x3 convolution of a block [default: 1]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub dilation: Option<usize>,
    /// DeepLab's form of a block: dilation and padding of the 3x3 convolution, with groups 1 and
    /// base width 64.
    #[arg(long, value_name = "R", allow_negative_numbers = true, conflicts_with = "dilation")]
    pub rate: Option<usize>,
}

impl BlockSettingsArgs {
    /// The first of these options that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        let options = [
            ("--stride", self.stride),
            ("--groups", self.groups),
            ("--base-width", self.base_width),
            ("--dilation", self.dilation),
            ("--rate", self.rate),
        ];
        options.into_iter().find_map(|(name, value)| value.map(|_| name))
    }

    /// The settings of a block with this norm.
    pub fn options(&self, norm: Norm) -> Result<BlockOptions, CliError> {
        let (mut groups, mut base_width) = (self.groups, self.base_width);
        if let Some(rate) = self.rate {
            if rate == 0 {
                return Err(Error::from(SpecError::Zero { parameter: "rate" }).into());
            }
            // DeepLab's Bottleneck has neither parameter, so other values mean another block.
            for (name, given, fixed) in [("--groups", groups, 1), ("--base-width", base_width, 64)]
            {
                if let Some(given) = given.filter(|&given| given != fixed) {
                    let why =
                        format!("--rate is DeepLab's form, whose {} is always {fixed}", &name[2..]);
                    return Err(CliError::Usage(format!("{name} {given}: {why}; use --dilation")));
                }
            }
            (groups, base_width) = (Some(1), Some(64));
        }
        let dilation = self.rate.or(self.dilation).unwrap_or(1);
        Ok(BlockOptions { stride: self.stride.unwrap_or(1), dilation, groups, base_width, norm })
    }

    /// The block in a file whose keys begin with `prefix`. Norm and eps default to those in the
    /// metadata of a trained network.
    pub fn block(
        &self,
        file: &Path,
        dict: &StateDict,
        prefix: &str,
        norm: &NormArgs,
    ) -> Result<Block, CliError> {
        let options = self.options(norm.of_file(file, dict)?)?;
        Block::from_state_dict(dict, prefix, &options).map_err(CliError::in_file(file))
    }
}

/// Which block, and how it is run.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// The weights: a safetensors file or a .pth of torch.save, with PyTorch's keys (conv1.weight,
    /// bn1.running_mean, ..., downsample.1.bias).
    #[arg(long, value_name = "W.safetensors")]
    pub weights: PathBuf,
    /// The prefix of the block's keys, e.g. `layer2.0.`
    #[arg(long, value_name = "P", default_value = "")]
    pub prefix: String,
    /// Settings that shapes do not show.
    #[command(flatten)]
    pub settings: BlockSettingsArgs,
    /// Its norms.
    #[command(flatten)]
    pub norm: NormArgs,
    /// How it is run.
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl SpecArgs {
    /// The block from its file.
    pub fn block(&self) -> Result<Block, CliError> {
        let dict = StateDict::open(&self.weights)?;
        self.settings.block(&self.weights, &dict, &self.prefix, &self.norm)
    }

    /// The block with its tensors unchanged.
    pub fn block_state(&self) -> Result<BlockState, CliError> {
        let dict = StateDict::open(&self.weights)?;
        let options = self.settings.options(self.norm.of_file(&self.weights, &dict)?)?;
        BlockState::from_state_dict(&dict, &self.prefix, &options)
            .map_err(CliError::in_file(&self.weights))
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
    /// The file to write, with a tensor `out` (NCHW, f32). It is written atomically.
    #[arg(long, value_name = "OUT.safetensors")]
    pub output: PathBuf,
    /// Also run the reference on the CPU, and fail if the result is beyond the tolerance.
    #[arg(long)]
    pub verify: bool,
    /// Run in training mode: norms use the statistics of the batch. Also writes the running
    /// statistics after the batch, under their keys. If the input file holds `grad_out`, the
    /// gradient of `out`, also writes `grad.input` and `grad.KEY` for every parameter.
    #[arg(long, conflicts_with = "plan")]
    pub train: bool,
    /// The weight of the batch in the running statistics; none: 1 / batches so far [default: 0.1]
    #[arg(long, value_name = "M", requires = "train")]
    pub momentum: Option<Momentum>,
}

impl BlockArgs {
    /// Checks that the output can be written and is none of the inputs.
    pub fn check_output(&self) -> Result<OutputFile, CliError> {
        let table = self.spec.engine.table();
        let inputs = [self.input.as_path(), &self.spec.weights].into_iter().chain(table);
        OutputFile::check(&self.output, &inputs.collect::<Vec<_>>())
    }
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
