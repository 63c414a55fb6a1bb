//! The arguments of `bottleneck tune`.

use std::path::PathBuf;

use clap::Args;

use super::super::adapter_args::AdapterArgs;
use super::super::bench::WorkloadArgs;
use super::super::engine_args::PrecisionArg;

/// `bottleneck tune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every candidate's output is compared with the reference (f64 on the CPU) before \
    it is timed. A candidate with a wrong result is reported and left out of the table, and the \
    exit code is 1. A device that is lost or runs out of memory ends the command with exit code 4. \
    The table is written after each shape, so neither this nor Ctrl-C loses a measured shape. \
    Shapes of earlier runs stay in it. Other commands use it with --tuned. It is JSON, one line \
    per shape, and safe to delete. A table of another device, driver or version is ignored, as is \
    one that does not parse."
)]
pub struct TuneArgs {
    /// The workloads whose shapes are tuned, each shape once.
    #[command(flatten)]
    pub what: WorkloadArgs,
    /// The precision to tune for; each precision has separate lines in the table.
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
    /// Fail if the kernel that ranks first takes this many percent longer than the best candidate
    /// [default: 15]
    #[arg(
        long,
        value_name = "PERCENT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "15",
        value_parser = percent
    )]
    pub assert: Option<f64>,
    /// Measure briefly, only to test that tuning works.
    #[arg(long)]
    pub quick: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// The table to write or extend; unset: the table of this device and driver in the user's cache
    /// directory.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a percentage".to_owned())
}
