//! Runs the fuzz targets for some time on files with random changes:
//!
//! ```text
//! fuzz_mutate SECONDS [TARGET,...] [--seed N] [--keep FOLDER] [--jobs N] [--json]
//! ```
//!
//! A target first reads the files of its corpus, which must be accepted. Files whose names begin
//! with `bad` must be refused. Files whose names begin with `any` are accepted or refused. If the
//! checksums of the format cover all bytes, the target then reads each file with each of its bits
//! flipped. After that, it reads changed files for SECONDS. Findings are: a panic, a dead process,
//! an input that takes longer than two seconds or that needs more memory than its target allows,
//! and a flipped bit that is accepted. The first input of each finding is written to FOLDER, or to
//! `fuzz/artifacts/TARGET`. The exit code is 1 if there is a finding. `--list` prints the names of
//! the targets.
//!
//! Each target runs in a separate process. At most N processes run at the same time; the default is
//! the number of cores.

mod changes;
mod memory;
mod parent;
mod random;
mod report;
mod worker;

use std::error::Error;
use std::process::ExitCode;
use std::thread;

use wgpu_bottleneck_fuzz::{TARGETS, Target, named};

use crate::parent::Plan;
use crate::worker::Work;

const USAGE: &str =
    "usage: fuzz_mutate SECONDS [TARGET,...] [--seed N] [--keep FOLDER] [--jobs N] [--json]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let run = match arguments.split_first() {
        Some((first, rest)) if first == "worker" => worker(rest),
        Some((first, [])) if first == "--list" => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(false)
        }
        _ => plan(&arguments).and_then(|plan| Ok(plan.run()?)),
    };
    match run {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn target(name: &str) -> Result<&'static Target, String> {
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    named(name).ok_or_else(|| format!("{name}: not a target, expected one of {}", names()))
}

/// Runs one target, and prints its report as JSON.
fn worker(arguments: &[String]) -> Result<bool, Box<dyn Error>> {
    let [name, seconds, seed, keep, trace @ ..] = arguments else { return Err(USAGE.into()) };
    let work = Work {
        target: target(name)?,
        seconds: seconds.parse()?,
        seed: seed.parse()?,
        keep: keep.into(),
        trace: trace.first().map(Into::into),
    };
    // A thread has a smaller stack than a process, so that deep recursion is found.
    let run = thread::spawn(|| work.run());
    let report = run.join().map_err(|_| "the harness has panicked")??;
    println!("{}", serde_json::to_string(&report)?);
    Ok(false)
}

/// The plan that the arguments describe.
fn plan(arguments: &[String]) -> Result<Plan, Box<dyn Error>> {
    let mut plan = Plan {
        targets: TARGETS.iter().collect(),
        seconds: 0.0,
        seed: 1,
        keep: None,
        jobs: thread::available_parallelism().map_or(1, usize::from),
        json: false,
    };
    let (mut rest, mut plain) = (arguments.iter(), Vec::new());
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument} needs a value: {USAGE}"));
        match argument.as_str() {
            "--seed" => plan.seed = value()?.parse()?,
            "--keep" => plan.keep = Some(value()?.into()),
            "--jobs" => plan.jobs = value()?.parse::<usize>()?.max(1),
            "--json" => plan.json = true,
            other if other.starts_with("--") => return Err(USAGE.into()),
            other => plain.push(other),
        }
    }
    match plain[..] {
        [seconds] => plan.seconds = seconds.parse()?,
        [seconds, targets] => {
            plan.seconds = seconds.parse()?;
            plan.targets = targets.split(',').map(target).collect::<Result<_, _>>()?;
        }
        _ => return Err(USAGE.into()),
    }
    if !(0.0..1e9).contains(&plan.seconds) {
        return Err(format!("{} seconds: {USAGE}", plan.seconds).into());
    }
    Ok(plan)
}
