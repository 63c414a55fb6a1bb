//! Measures one problem: checks its candidates, then times them alternately.

use std::ops::ControlFlow;
use std::time::Instant;

use super::sample::Sample;
use super::watch::{Halt, tell};
use super::{Clock, TuneEvent, TuneOptions, TunedKernel, TunedShape};
use crate::error::Result;
use crate::gpu::{Bound, Executor, Gpu, Timer};
use crate::kernel::{self, Kernel, Problem};

/// Timed runs of each candidate, and how slow it may be, relative to the best, to be timed in more.
const HEATS: [(usize, f64); 3] = [(4, f64::INFINITY), (16, 2.0), (usize::MAX, 1.25)];

/// Finds the fastest candidate; `None` if none gave correct results.
pub(super) fn contest(
    gpu: &Gpu,
    problem: &Problem,
    options: &TuneOptions,
    watch: &mut impl FnMut(TuneEvent<'_>) -> ControlFlow<()>,
) -> Result<Option<TunedShape>, Halt> {
    let candidates = kernel::candidates(problem, gpu.capabilities());
    let Some((rule, _)) = kernel::select(problem, &candidates, gpu.capabilities()) else {
        return Ok(None);
    };
    let checked = check(gpu, problem, &candidates, rule, watch)?;
    let Some((_, home)) = checked.first() else { return Ok(None) };
    // All candidates use the same input and output buffers; weights and scratch are separate.
    let bound =
        |(kernel, executor): &(Kernel, Executor)| Ok((*kernel, executor.bind_shared(home)?));
    let bound = checked.iter().map(bound).collect::<Result<Vec<_>>>()?;
    for clock in [Clock::Gpu, Clock::Host] {
        let racers = bound.iter().map(|(kernel, bound)| Racer::new(*kernel, bound, clock));
        let mut racers = racers.collect::<Result<Vec<_>>>()?;
        if race(gpu, &mut racers, rule, options.rounds.max(1), watch)? {
            racers.sort_by(|a, b| a.time().total_cmp(&b.time()));
            let timed = |racer: &Racer<'_>| TunedKernel {
                kernel: racer.kernel.name(),
                us: in_microseconds(racer.time()),
            };
            let candidates = racers.iter().map(timed).collect();
            return Ok(Some(TunedShape {
                shape: problem.to_string(),
                rule: rule.name(),
                clock,
                candidates,
            }));
        }
    }
    Ok(None)
}

/// The candidates with correct results. The rule's pick is checked first, and the others must agree
/// with it.
fn check(
    gpu: &Gpu,
    problem: &Problem,
    candidates: &[Kernel],
    rule: Kernel,
    watch: &mut impl FnMut(TuneEvent<'_>) -> ControlFlow<()>,
) -> Result<Vec<(Kernel, Executor)>, Halt> {
    let mut sample = Sample::new(problem)?;
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&index| candidates[index] != rule);
    let mut right: Vec<(Kernel, Executor)> = Vec::new();
    for index in order {
        let kernel = candidates[index];
        match sample.check(gpu, index)? {
            Ok(mut executor) => {
                if !right.is_empty() {
                    executor.release_own_buffers();
                }
                right.push((kernel, executor));
                tell(watch, TuneEvent::Ran)?;
            }
            Err(why) => {
                tracing::warn!("{} is rejected for {problem}: {why}", kernel.name());
                tell(watch, TuneEvent::Rejected { problem, kernel, why: &why })?;
            }
        }
    }
    Ok(right)
}

/// Times all candidates in turn, round after round, so that other load on the machine affects them
/// equally. Candidates that are much slower drop out, except `favourite`. Returns false if the
/// clock reports no times.
fn race(
    gpu: &Gpu,
    racers: &mut [Racer<'_>],
    favourite: Kernel,
    rounds: usize,
    watch: &mut impl FnMut(TuneEvent<'_>) -> ControlFlow<()>,
) -> Result<bool, Halt> {
    let mut round = 0;
    for (until, behind) in HEATS {
        while round < until.min(rounds) {
            let limit = behind * racers.iter().map(Racer::time).fold(f64::INFINITY, f64::min);
            for racer in racers.iter_mut() {
                if racer.kernel != favourite && racer.time() > limit {
                    continue;
                }
                let Some(seconds) = racer.run(gpu)? else { return Ok(false) };
                racer.seconds.push(seconds);
                tell(watch, TuneEvent::Ran)?;
            }
            round += 1;
        }
    }
    Ok(true)
}

/// A candidate under timing.
struct Racer<'a> {
    kernel: Kernel,
    bound: &'a Bound,
    clock: Clock,
    timer: Option<Timer<'a>>,
    seconds: Vec<f64>,
}

impl<'a> Racer<'a> {
    fn new(kernel: Kernel, bound: &'a Bound, clock: Clock) -> Result<Self> {
        let timer = if clock == Clock::Gpu { bound.timer()? } else { None };
        Ok(Self { kernel, bound, clock, timer, seconds: Vec::new() })
    }

    /// Times one run, in seconds; `None` if the clock reports no time.
    fn run(&self, gpu: &Gpu) -> Result<Option<f64>> {
        if self.clock == Clock::Gpu {
            let Some(timer) = &self.timer else { return Ok(None) };
            let spans = timer.run()?.dispatches.unwrap_or_default();
            let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(None) };
            let seconds = last.end.saturating_sub(first.start).as_secs_f64();
            return Ok((seconds > 0.0).then_some(seconds));
        }
        let commands = self.bound.record()?;
        let start = Instant::now();
        gpu.guarded("submitting", || gpu.queue().submit(commands))?;
        gpu.wait()?;
        let seconds = start.elapsed().as_secs_f64().max(1e-9);
        self.bound.verify()?;
        Ok(Some(seconds))
    }

    /// The lower quartile of the runs: other load on the machine slows most of them down, and a
    /// wrong timestamp can make one too short.
    fn time(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 4).copied().unwrap_or(f64::INFINITY)
    }
}

/// Rounds to nanoseconds: no clock is more precise, and short numbers are exact when read back from
/// a file.
fn in_microseconds(seconds: f64) -> f64 {
    (seconds * 1e9).round().max(1.0) / 1e3
}
