//! Options for the settings of a network that the shapes of its weights do not show.

use std::path::Path;

use clap::{Args, ValueEnum};
use wgpu_bottleneck::network::NormKind;
use wgpu_bottleneck::op::PoolWindows;
use wgpu_bottleneck::{CheckpointOptions, Error, ModelConfig, Norm, StateDict, StrideIn};

use super::error::CliError;

/// Which norm layer.
#[derive(Debug, Clone, Args)]
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
        Ok(Some(Norm::from_name(name, 0.0).map_err(Error::from)?.kind()))
    }

    /// The norms of a block in a file. Norm and eps default to those in the file's metadata.
    pub fn of_file(&self, file: &Path, dict: &StateDict) -> Result<Norm, CliError> {
        let config = ModelConfig::in_metadata_of(file, dict)?;
        let said = config.options().map_err(Error::from)?;
        Ok(self.kind()?.or(said.norm).unwrap_or_default().norm(self.eps.or(said.eps)))
    }
}

/// The convolution of a Bottleneck that has the stride.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StrideInArg {
    /// The 3x3 convolution, as in torchvision (v1.5).
    #[value(name = "3x3")]
    Conv3x3,
    /// The first 1x1 convolution, as in the original (v1).
    #[value(name = "1x1")]
    Conv1x1,
}

/// The windows of the stem's max pool.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum MaxPoolArg {
    /// MaxPool2d(3, 2, padding=1), as in torchvision.
    Padded,
    /// MaxPool2d(3, 2, ceil_mode=True), as in networks from Caffe.
    Ceil,
}

impl From<StrideInArg> for StrideIn {
    fn from(arg: StrideInArg) -> Self {
        match arg {
            StrideInArg::Conv3x3 => Self::Conv2,
            StrideInArg::Conv1x1 => Self::Conv1,
        }
    }
}

impl From<MaxPoolArg> for PoolWindows {
    fn from(arg: MaxPoolArg) -> Self {
        match arg {
            MaxPoolArg::Padded => Self::Padded,
            MaxPoolArg::Ceil => Self::CeilMode,
        }
    }
}

/// Settings of a network that the shapes of its weights do not show.
#[derive(Debug, Clone, Args)]
pub struct VariantArgs {
    /// For each stage after the first, whether its stride becomes a dilation: output stride 8 is
    /// false,true,true [default: from the configuration, or none]
    #[arg(long, value_name = "B,B,B", value_delimiter = ',', num_args = 1)]
    pub replace_stride_with_dilation: Vec<bool>,
    /// DeepLab's multi grid: a factor for the dilation of each block of the last stage, e.g. 1,2,4
    /// [default: from the configuration, or none]
    #[arg(long, value_name = "R,R,R", value_delimiter = ',', num_args = 1)]
    pub multi_grid: Vec<usize>,
    /// The convolution of a Bottleneck that has the stride [default: from the configuration, or
    /// 3x3]
    #[arg(long, value_enum, value_name = "CONV")]
    pub stride_in: Option<StrideInArg>,
    /// The windows of the stem's max pool [default: from the configuration, or padded]
    #[arg(long, value_enum, value_name = "MODE")]
    pub max_pool: Option<MaxPoolArg>,
    /// The norm layers.
    #[command(flatten)]
    pub norm: NormArgs,
}

impl VariantArgs {
    /// The first given option of these that only a network has.
    pub fn first_given(&self) -> Option<&'static str> {
        let options = [
            ("--replace-stride-with-dilation", !self.replace_stride_with_dilation.is_empty()),
            ("--multi-grid", !self.multi_grid.is_empty()),
            ("--stride-in", self.stride_in.is_some()),
            ("--max-pool", self.max_pool.is_some()),
        ];
        options.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    /// The options that were given, for a network with this prefix.
    pub fn options(&self, prefix: Option<String>) -> Result<CheckpointOptions, CliError> {
        let (replace, grid) = (&self.replace_stride_with_dilation, &self.multi_grid);
        Ok(CheckpointOptions {
            prefix,
            key: None,
            norm: self.norm.kind()?,
            eps: self.norm.eps,
            stride_in: self.stride_in.map(StrideIn::from),
            max_pool: self.max_pool.map(PoolWindows::from),
            replace_stride_with_dilation: (!replace.is_empty()).then(|| replace.clone()),
            multi_grid: (!grid.is_empty()).then(|| grid.clone()),
        })
    }
}
