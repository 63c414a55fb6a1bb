//! Uses the library in one of several ways, for runs in which faults are injected:
//! `faults_library MODE [SECONDS [WORK...]]`. `tests/faults/README.md` lists the modes.
//!
//! Exit code 0: every result was right. 4: the library returned errors, and every result that it
//! returned was right. 99: a wrong result. 101: a panic reached the caller. Panics that the library
//! contains are reported on stderr.

mod app;
mod cases;
mod holds;
mod lifetime;
mod load;
mod parts;
mod pass;
mod soak;
mod submits;

use std::panic::{catch_unwind, set_hook};
use std::process::ExitCode;
use std::time::Duration;

/// Why a mode ended early.
enum Failure {
    /// The library returned a wrong result.
    Wrong(String),
    /// The library returned an error.
    Error(String),
}

type Outcome<T = ()> = Result<T, Failure>;

impl<E: Into<wgpu_bottleneck::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self::Error(format!("{:?}: {error}", error.kind()))
    }
}

/// A wrong result.
fn wrong<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Failure::Wrong(what.into()))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = arguments.first().map_or("", String::as_str);
    let seconds = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    let time = Duration::from_secs(seconds);
    // The library contains some panics of wgpu: they are reported, and do not fail the run.
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let whose = if app::is_in_call() { "the app's" } else { "contained" };
        eprintln!("{whose}: {place}: {}", panic.payload_as_str().unwrap_or_default());
    }));
    let outcome = catch_unwind(|| match mode {
        "owned" => pass::owned(),
        "borrowed" => pass::borrowed(),
        "reuse" => pass::reuse(),
        "threads" => load::threads(time),
        "devices" => load::devices(time),
        "soak" => soak::soak(time, arguments.get(2..).unwrap_or_default()),
        "parts" => parts::parts(),
        "submits" => submits::submits(),
        "drops" => lifetime::drops(),
        "cancel" => lifetime::cancel(),
        "reload" => lifetime::reload(),
        other => {
            let modes = "owned, borrowed, reuse, threads, devices, soak, parts, submits, drops, \
                         cancel, reload";
            Err(Failure::Error(format!("no mode {other:?}; modes: {modes}")))
        }
    });
    match outcome {
        Ok(Ok(())) => {
            println!("{mode}: right");
            ExitCode::SUCCESS
        }
        Ok(Err(Failure::Error(error))) => {
            println!("{mode}: error: {error}");
            ExitCode::from(4)
        }
        Ok(Err(Failure::Wrong(what))) => {
            println!("{mode}: WRONG: {what}");
            ExitCode::from(99)
        }
        Err(_) => {
            println!("{mode}: PANIC reached the caller");
            ExitCode::from(101)
        }
    }
}
