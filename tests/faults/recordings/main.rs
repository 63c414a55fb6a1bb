//! Random recordings made by hand: `faults_recordings COUNT [SEED]`.
//!
//! Each recording is a valid recording with a few random changes. Some are completed: the rest of
//! the recording is computed from the changes. `Recording::check` must return without a panic.
//! Every recording that it accepts runs twice, with wgpu's runtime checks and with memory filled
//! with NaN:
//!
//! - with a separate slot for each tensor: each step must equal the reference, and the guard bands
//!   after the tensors must not change;
//! - with the slots of the recording: it must give the same values.
//!
//! Recordings are checked and run in child processes, and a process that dies or hangs is
//! attributed to its recording. `tests/faults/recordings/run.sh` builds this program with overflow
//! checks and starts it. The exit code is 1 if a recording fails, or if fewer than one in ten is
//! accepted.

mod bases;
mod complete;
mod mutate;
mod parent;
mod run;
mod single;
mod values;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u64>> =
        arguments.iter().filter(|text| *text != "worker").map(|text| text.parse().ok()).collect();
    let is_worker = arguments.first().is_some_and(|first| first == "worker");
    match (is_worker, numbers.as_deref()) {
        (true, Some(&[seed, first, end])) => worker::work(seed, first..end),
        (false, Some(&[count])) => parent::run(count, 1),
        (false, Some(&[count, seed])) => parent::run(count, seed),
        _ => {
            eprintln!("usage: faults_recordings COUNT [SEED]");
            ExitCode::from(2)
        }
    }
}
