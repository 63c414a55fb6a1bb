//! The arguments that set how a block or a network is run: plan, kernels, precision and adapter.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Precision};
use wgpu_bottleneck::{Gpu, LoadOptions, PlanKind};

use super::adapter_args::AdapterArgs;
use super::error::CliError;
use super::tuning_table;

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
    /// Use the kernel whose name contains this for every step that it fits, instead of the kernel
    /// that ranks first.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
    /// MiB that transformed weights (Winograd) may use in addition to the original weights, over
    /// the whole network; 0: no transformed weights.
    #[arg(long, value_name = "MIB", default_value_t = 9)]
    pub extra_weights: u32,
    /// Use the fastest kernels that `bottleneck tune` measured on this device. FILE is its table;
    /// without FILE, the table in the user's cache directory. Unset: the kernels that rank first.
    /// The last bits of results may differ between tunings.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "kernel"
    )]
    pub tuned: Option<Option<PathBuf>>,
    /// How often the plan will run. On a software driver, kernels that compile quickly are chosen
    /// for few runs, and the fastest kernels for many runs. Unset: the number of runs of the
    /// command; many for embed, train and bench.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["kernel", "tuned"]
    )]
    pub runs: Option<u32>,
    /// The type of weights and activations on the device; sums are f32. f16: an error if the device
    /// has no f16, or if the values of a layer are too large for it. auto: f16 where possible,
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
    /// The file of --tuned, which must not be overwritten.
    pub fn table(&self) -> Option<&Path> {
        self.tuned.as_ref()?.as_deref()
    }

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
            (Some(file), Some(gpu)) => tuning_table::kernels(file.as_deref(), gpu, ranked)?,
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
