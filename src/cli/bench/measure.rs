//! Times workloads: after a warm-up, round after round until the medians are steady.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::gpu::{Bound, CeilingOptions, Timer};

use super::super::error::CliError;
use super::super::timing;
use super::checked::Checked;

/// How much time is spent.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Uncounted rounds: at least two, and as many as fit into this time. The first ones include
    /// the driver's compilation and the first access to memory.
    warm_up: Duration,
    /// Counted rounds of a workload: at least this many,
    fewest: usize,
    /// at most this many,
    most: usize,
    /// and no more once they have taken this long.
    limit: Duration,
    /// The effort for the ceilings.
    pub ceilings: CeilingOptions,
}

impl Effort {
    /// Little effort, or as much as comparisons need.
    pub fn of(quick: bool) -> Self {
        if quick { Self::quick() } else { Self::full() }
    }

    fn full() -> Self {
        let (warm_up, limit) = (Duration::from_millis(300), Duration::from_secs(8));
        Self { warm_up, fewest: 7, most: 400, limit, ceilings: CeilingOptions::default() }
    }

    fn quick() -> Self {
        let (warm_up, limit) = (Duration::ZERO, Duration::from_millis(150));
        Self { warm_up, fewest: 3, most: 40, limit, ceilings: CeilingOptions::quick() }
    }
}

/// Maximum number of uncounted rounds, for a clock that stands still or runs backwards.
const MOST_WARM_UP: usize = 100_000;
/// The rounds in a window, whose median is compared with that of the window before.
const WINDOW: usize = 10;
/// Medians are steady if those of two windows differ by at most this share.
const STEADY: f64 = 0.01;

/// A tenth of the times are below the first, half below the second, nine tenths below the third.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Milliseconds.
    pub p10_ms: f64,
    /// Milliseconds.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p90_ms: f64,
}

impl Quantiles {
    /// The quantiles of at least one time, in seconds.
    fn of(seconds: &[f64]) -> Self {
        let mut sorted = seconds.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        // The nearest rank.
        let at = |share: f64| {
            let rank = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
            sorted.get(rank).copied().unwrap_or_default() * 1e3
        };
        Self { p10_ms: at(0.1), p50_ms: at(0.5), p90_ms: at(0.9) }
    }
}

/// The times of a workload.
#[derive(Debug, Clone)]
pub struct Times {
    /// From host array to host array.
    pub host: Quantiles,
    /// Recording, submit and wait, with input and output staying on the device.
    pub device: Quantiles,
    /// The sum of the dispatches' GPU times.
    pub gpu: Option<Quantiles>,
    /// The GPU times of the dispatches, in seconds: a list per round.
    dispatches: Option<Vec<Vec<f64>>>,
    /// Rounds that were counted.
    pub rounds: usize,
    /// Whether the medians were steady when the time was up.
    pub steady: bool,
}

/// The measured times of each round, in seconds.
#[derive(Debug, Default)]
struct Rounds {
    host: Vec<f64>,
    device: Vec<f64>,
    /// GPU times of the dispatches, a list per round; `None` once a round has had invalid
    /// timestamps.
    dispatches: Option<Vec<Vec<f64>>>,
}

/// Times workloads, each with its device. Each round measures each kind of time of each workload
/// once, so that other load on the machine affects them equally. Rounds continue until the medians
/// of all are steady.
pub fn measure(workloads: &mut [(&Gpu, Checked)], effort: &Effort) -> Result<Vec<Times>, CliError> {
    let bind = |(_, checked): &(&Gpu, Checked)| checked.buffers.bind(checked.executor());
    let bounds = workloads.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let timers = bounds.iter().map(Bound::timer).collect::<Result<Vec<_>, _>>()?;
    let mut round = |all: &mut [Rounds]| -> Result<(), CliError> {
        for ((((gpu, checked), bound), timer), rounds) in
            workloads.iter_mut().zip(&bounds).zip(&timers).zip(all)
        {
            let start = Instant::now();
            checked.run()?;
            rounds.host.push(start.elapsed().as_secs_f64());
            let mut device = Duration::ZERO;
            for _ in 0..checked.runs {
                let run = timing::run(gpu, bound)?;
                device += run.record + run.complete;
            }
            rounds.device.push(device.as_secs_f64());
            rounds.time_dispatches(timer.as_ref(), checked.runs)?;
        }
        Ok(())
    };
    let new = |timer: &Option<Timer<'_>>| Rounds {
        dispatches: timer.is_some().then(Vec::new),
        ..Rounds::default()
    };
    let new = || timers.iter().map(new).collect::<Vec<Rounds>>();
    let (mut cold, mut taken, start) = (new(), 0, Instant::now());
    let (warm_up, limit) =
        (effort.warm_up * bounds.len() as u32, effort.limit * bounds.len() as u32);
    while taken < 2 || (taken < MOST_WARM_UP && start.elapsed() < warm_up) {
        round(&mut cold)?;
        taken += 1;
    }
    let (mut all, mut taken, start) = (new(), 0, Instant::now());
    while taken < effort.fewest
        || (taken < effort.most && start.elapsed() < limit && !all.iter().all(Rounds::steady))
    {
        round(&mut all)?;
        taken += 1;
    }
    Ok(all.into_iter().map(Rounds::times).collect())
}

impl Rounds {
    /// Times the dispatches of one run, and multiplies each time by the number of runs.
    fn time_dispatches(&mut self, timer: Option<&Timer<'_>>, runs: usize) -> Result<(), CliError> {
        if let (Some(timer), Some(rounds)) = (timer, &mut self.dispatches) {
            match timer.run()?.dispatches {
                Some(times) => {
                    let seconds = |time: &Range<Duration>| {
                        (time.end - time.start).as_secs_f64() * runs as f64
                    };
                    rounds.push(times.iter().map(seconds).collect());
                }
                None => self.dispatches = None,
            }
        }
        Ok(())
    }

    /// Whether the last rounds took as long as those before them.
    fn steady(&self) -> bool {
        let steady = |times: &[f64]| {
            let Some(before) = times.len().checked_sub(2 * WINDOW) else { return false };
            let (earlier, later) = times[before..].split_at(WINDOW);
            let (earlier, later) = (Quantiles::of(earlier).p50_ms, Quantiles::of(later).p50_ms);
            (earlier - later).abs() <= STEADY * later
        };
        steady(&self.host) && steady(&self.device)
    }

    /// The times of the steady rounds, or of all.
    fn times(self) -> Times {
        let steady = self.steady();
        let first = if steady { self.host.len() - 2 * WINDOW } else { 0 };
        let dispatches = self.dispatches.map(|mut rounds| rounds.split_off(first));
        let sums = dispatches
            .as_ref()
            .map(|rounds| rounds.iter().map(|times| times.iter().sum()).collect::<Vec<f64>>());
        Times {
            host: Quantiles::of(&self.host[first..]),
            device: Quantiles::of(&self.device[first..]),
            gpu: sums.map(|sums| Quantiles::of(&sums)),
            dispatches,
            rounds: self.host.len() - first,
            steady,
        }
    }
}

impl Times {
    /// The median GPU time of some of the dispatches together, in milliseconds.
    pub fn gpu_ms(&self, dispatches: Range<usize>) -> Option<f64> {
        let rounds = self.dispatches.as_ref()?;
        let sums = rounds
            .iter()
            .map(|times| times.get(dispatches.clone()).map(|times| times.iter().sum()));
        Some(Quantiles::of(&sums.collect::<Option<Vec<f64>>>()?).p50_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let seconds: Vec<f64> = (0..=10).rev().map(f64::from).collect();
        assert_eq!(Quantiles::of(&seconds), Quantiles { p10_ms: 1e3, p50_ms: 5e3, p90_ms: 9e3 });
        assert_eq!(Quantiles::of(&[2.0]), Quantiles { p10_ms: 2e3, p50_ms: 2e3, p90_ms: 2e3 });
    }

    #[test]
    fn a_drift_is_not_steady() {
        let rounds =
            |host: Vec<f64>| Rounds { device: vec![1.0; host.len()], host, dispatches: None };
        assert!(rounds(vec![1.0; 20]).steady() && !rounds(vec![1.0; 19]).steady());
        let drift = rounds((0..40).map(|round| 2.0 - 0.01 * f64::from(round)).collect());
        assert!(!drift.steady() && drift.times().rounds == 40);
        let settled = rounds([vec![9.0; 30], vec![1.0; 20]].concat());
        assert!(settled.steady());
        let settled = settled.times();
        assert!(settled.host.p90_ms == 1e3 && settled.rounds == 20);
    }

    #[test]
    fn dispatches_have_medians_of_their_own() {
        let rounds = Rounds {
            host: vec![1.0; 3],
            device: vec![1.0; 3],
            dispatches: Some(vec![vec![1.0, 6.0, 0.0], vec![2.0, 5.0, 0.5], vec![3.0, 1.0, 0.5]]),
        };
        let times = rounds.times();
        assert_eq!(times.gpu.map(|gpu| gpu.p50_ms), Some(7e3));
        let each = [0..1, 1..2, 0..2, 2..3].map(|range| times.gpu_ms(range));
        // Several dispatches have a median of their sums, which may differ from the sum of their
        // medians.
        assert_eq!(each, [Some(2e3), Some(5e3), Some(7e3), Some(0.5e3)]);
        assert_eq!(times.gpu_ms(2..4), None);
    }
}
