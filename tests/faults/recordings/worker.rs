//! The child process: makes, checks and runs the recordings of a range, and reports each one on
//! stdout.

use std::io::{self, Write as _};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;

use wgpu_bottleneck::plan::Recording;
use wgpu_bottleneck::selftest::Seeded;
use wgpu_bottleneck::{Gpu, GpuOptions};

use crate::bases::Bases;
use crate::complete::complete;
use crate::mutate::Draw;
use crate::run::{self, Outcome};

/// The place and the message of the last panic.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Works through the recordings of a range.
pub fn work(seed: u64, range: Range<u64>) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = format!("{place}: {}", panic.payload_as_str().unwrap_or("no message"));
        *LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = text;
    }));
    let options = GpuOptions { runtime_checks: true, ..GpuOptions::default() };
    let start = Gpu::with_options(&options)
        .and_then(|gpu| Bases::new(gpu.capabilities()).map(|bases| (gpu, bases)));
    let (gpu, bases) = match start {
        Ok(started) => started,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let draw = Draw::new(|_| 0);
    for number in range {
        say("try", number, "");
        let mut random = Seeded::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number));
        let mut draw = draw.with(move |bound| random.below(bound));
        let (kind, text) = one(&gpu, &bases, &mut draw, seed, number);
        say(kind, number, &text);
    }
    ExitCode::SUCCESS
}

/// Reports a line: its kind, the recording's number and a text.
fn say(kind: &str, number: u64, text: &str) {
    let line = text.replace('\n', " ");
    // A write fails only if the parent ended early, with an error.
    let _ = writeln!(io::stdout(), "{kind} {number} {line}");
}

/// Makes, checks and runs the recording with this number. Returns the kind and text of the report.
fn one(
    gpu: &Gpu,
    bases: &Bases,
    draw: &mut Draw,
    seed: u64,
    number: u64,
) -> (&'static str, String) {
    let base = bases.pick(draw.below(1 << 30));
    let mut recording = base.clone();
    let is_completed = draw.below(4) > 0;
    let is_wild = !is_completed || draw.below(4) == 0;
    let mut changes = draw.change(&mut recording, is_wild);
    let guarded = |work: &mut dyn FnMut() -> Option<(&'static str, String)>| {
        panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            let place = LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            Some(("panicked", place))
        })
    };
    if is_completed {
        let mut completed = recording.clone();
        let mut done = false;
        let found = guarded(&mut || {
            done =
                complete(&mut completed, gpu.capabilities(), |count| draw.below(count)).is_some();
            None
        });
        if let Some((kind, place)) = found {
            return (kind, format!("while it is completed: {place} ({changes})"));
        }
        if done {
            recording = completed;
            changes.push_str(", completed");
        }
    }
    if recording == *base {
        return ("same", String::new());
    }
    let found = guarded(&mut || Some(checked(gpu, &recording, seed ^ number)));
    let (kind, text) = found.unwrap_or(("panicked", String::new()));
    (kind, format!("{text} ({changes})"))
}

fn checked(gpu: &Gpu, recording: &Recording, seed: u64) -> (&'static str, String) {
    if let Err(error) = recording.check(gpu.capabilities()) {
        return ("refused", error.to_string());
    }
    match run::run(gpu, recording, seed) {
        Outcome::Right => ("right", String::new()),
        Outcome::Large => ("large", String::new()),
        Outcome::Wrong(text) => ("wrong", text),
    }
}
