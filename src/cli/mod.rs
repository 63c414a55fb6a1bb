//! The command line: dispatch to one file per command, and exit codes. Every error is one or two
//! lines on stderr.
//!
//! Data goes to stdout, progress and errors to stderr. Commands use only the public API of the
//! library, and do not know how a block is computed.

mod adapter_args;
mod batch_advice;
mod bench;
mod block;
mod block_args;
mod block_or_network;
mod block_train;
mod bug_report;
mod chain;
mod classify;
mod command;
mod demo;
mod devices;
mod digits;
mod each;
mod embed;
mod engine_args;
mod environment;
mod error;
mod feature_maps;
mod features;
mod files;
mod forced;
mod image_files;
mod image_progress;
mod images;
mod input_file;
mod input_tensor;
mod interrupt;
mod labels;
mod network_args;
mod no_memory;
mod output;
mod plan;
mod progress_bar;
mod run;
mod seeded;
mod selftest;
mod setting_texts;
mod shaders;
mod source_args;
mod step_check;
mod timing;
mod train;
mod tune;
mod tuning_table;
mod variant_args;
mod verify;

// The readers of files for `fuzz/`, which compiles this folder too.
#[cfg(fuzz_targets)]
pub use {embed::fuzzed_journal, train::fuzzed as fuzzed_training};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use command::{Cli, Command};
use error::{CliError, EXIT_GPU, EXIT_USAGE};

/// The whole program.
pub fn main() -> ExitCode {
    // SAFETY: this is the start of the program, and no thread has been started.
    unsafe { environment::set_runtime_dir() };
    environment::ignore_file_size_signal();
    bug_report::remember_panics();
    let code = catch_unwind(AssertUnwindSafe(run_command)).unwrap_or_else(|payload| {
        output::error(&bug_report::line(&*payload));
        EXIT_GPU
    });
    ExitCode::from(code)
}

/// Parses, runs, reports. Returns the exit code.
fn run_command() -> u8 {
    if let Err(error) = start_logging() {
        output::error(&error.to_string());
        return error.exit_code();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let batch = cli.command.as_ref().and_then(Command::batch);
    let outcome = match cli.command {
        None => demo::run(&cli.demo),
        Some(Command::Devices(args)) => devices::run(&args),
        Some(Command::Block(args)) if args.train => block_train::run(&args),
        Some(Command::Block(args)) => block::run(&args),
        Some(Command::Plan(args)) => plan::run(&args),
        Some(Command::Shaders(args)) => shaders::run(&args),
        Some(Command::Classify(args)) => classify::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Features(args)) => features::run(&args),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Embed(args)) => embed::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Tune(args)) => tune::run(&args),
        Some(Command::Selftest(args)) => selftest::run(&args),
    };
    match outcome {
        Ok(()) => 0,
        // The reader of stdout does not want more output.
        Err(CliError::OutputClosed) => 0,
        Err(error) => {
            output::error(&(error.to_string() + &batch_advice::after(&error, batch)));
            error.exit_code()
        }
    }
}

/// Prints help and version as clap does, and a usage error in two lines: the error, then clap's tip
/// or a pointer to `--help`.
fn usage(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed stdout is not an error of the user.
        let _ = error.print();
        return 0;
    }
    let text = error.render().to_string();
    let mut paragraphs =
        text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = paragraphs.next().unwrap_or_default();
    output::error(what.strip_prefix("error: ").unwrap_or(&what));
    let tip = paragraphs.find(|paragraph| paragraph.starts_with("tip:"));
    output::progress(&tip.unwrap_or_else(|| "for more information, try '--help'".to_owned()));
    u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE)
}

/// Sends the log to stderr, filtered by `RUST_LOG` (`LEVEL` or `MODULE=LEVEL`, separated by
/// commas). The default is the warnings of this crate (such as a software adapter) and the errors
/// of all other crates. A variable that is not UTF-8 is an error.
fn start_logging() -> Result<(), CliError> {
    let wanted = environment::text("RUST_LOG", "LEVEL or MODULE=LEVEL, joined by commas")?;
    let default =
        || Targets::new().with_default(Level::ERROR).with_target("wgpu_bottleneck", Level::WARN);
    let (filter, refused) = match wanted.as_deref().map(str::parse::<Targets>) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (default(), Some(error)),
        None => (default(), None),
    };
    let ansi = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let log =
        tracing_subscriber::fmt::layer().with_writer(output::log).with_ansi(ansi).without_time();
    // Errors while logging would be printed to the very stream that failed.
    let log = log.with_target(false).log_internal_errors(false);
    let _ = tracing_subscriber::registry().with(filter).with(log).try_init();
    if let Some(error) = refused {
        output::progress(&format!("warning: RUST_LOG is invalid and ignored: {error}"));
    }
    Ok(())
}
