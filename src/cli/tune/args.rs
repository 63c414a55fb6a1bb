//! The arguments of `bottleneck tune`.

use std::path::PathBuf;

use clap::Args;

use super::super::args::{AdapterArgs, PrecisionArg};
use super::super::bench::WorkloadArgs;

/// `bottleneck tune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every candidate's output is held against the reference (f64 on the CPU) before its time is taken; one with \
    wrong numbers is named, has no place in the table, and makes the exit code 1. The table is written after each shape, so that \
    Ctrl-C leaves what was measured; shapes of earlier runs stay in it. Other commands use it with --tuned. It is JSON, a line per \
    shape, and safe to delete; one of another device, driver or version is ignored, as is what does not parse."
)]
pub struct TuneArgs {
    /// What is to be run: the shapes in it are tuned, each once.
    #[command(flatten)]
    pub what: WorkloadArgs,
    /// The precision in which the shapes are computed: each has lines of its own in the table.
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
    /// Fail where the kernel that ranks first takes this much longer than the best candidate, in per cent [default: 15]
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "15",
        value_parser = percent)]
    pub assert: Option<f64>,
    /// Spend little time: to see that it works, not to be faster.
    #[arg(long)]
    pub quick: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// The table to write, or to add to; unset: one of this device and driver in the user's cache directory.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a number of per cent".to_owned())
}
