//! The cost of a dispatch, and of a barrier between two dispatches.

use std::time::Duration;

use wgpu::BufferUsages;

use super::bench::{Bench, Bound, dispatch, wrong};
use super::kernels::Kernel;
use crate::error::Result;

/// Minimum number of rounds for a meaningful spread: with fewer, all may lie on one side by chance.
const FEWEST: usize = 8;

/// Costs of dispatches in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dispatches {
    /// An empty dispatch in the fastest submit.
    pub empty_us: f64,
    /// The additional time of a dispatch that reads the output of the previous one. `None` if it is
    /// within the noise.
    pub barrier_us: Option<f64>,
    /// The noise of that difference.
    pub barrier_noise_us: f64,
}

impl Dispatches {
    /// Evaluates rounds: the seconds of an empty and of a dependent dispatch in each. The two of a
    /// round run one after the other, so that a slowdown of the machine affects both.
    fn of(rounds: &[[f64; 2]]) -> Self {
        let mut differences: Vec<f64> =
            rounds.iter().map(|[empty, dependent]| (dependent - empty) * 1e6).collect();
        differences.sort_unstable_by(f64::total_cmp);
        // The nearest rank.
        let at = |share: f64| {
            let rank = (share * differences.len().saturating_sub(1) as f64).round() as usize;
            differences.get(rank).copied().unwrap_or_default()
        };
        let (median, noise) = (at(0.5), at(0.9) - at(0.1));
        let empty = rounds.iter().map(|[empty, _]| *empty).fold(f64::INFINITY, f64::min);
        Self {
            empty_us: empty * 1e6,
            barrier_us: (median > noise).then_some(median),
            barrier_noise_us: noise,
        }
    }
}

impl Bench<'_> {
    /// Times empty dispatches and dependent ones alternately.
    pub fn dispatches(&self) -> Result<Dispatches> {
        let empty = self.bind(Kernel::Empty, &[])?;
        let counter =
            self.gpu.buffer("counter", 4, BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let dependent = self.bind(Kernel::Dependent, &[&counter])?;
        let mut all = 0u32;
        let mut run = |bound: &Bound, count: u32| -> Result<Duration> {
            all = all.wrapping_add(if std::ptr::eq(bound, &dependent) { count } else { 0 });
            self.time(|encoder, path| dispatch(encoder, path, bound, [1; 3], count as usize))
        };
        let kernels = [&empty, &dependent];
        let mut amounts = [0; 2];
        for (amount, kernel) in amounts.iter_mut().zip(kernels) {
            *amount = self.amount(&mut |count| run(kernel, count))?;
        }
        let mut rounds = Vec::new();
        for round in 0..self.options.submits.max(FEWEST) {
            let mut seconds = [0.0; 2];
            // Each goes first in every other round.
            for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let time = run(kernels[at], amounts[at])?.as_secs_f64().max(1e-9);
                seconds[at] = time / f64::from(amounts[at]);
            }
            rounds.push(seconds);
        }
        let counted: Vec<u32> = bytemuck::pod_collect_to_vec(&self.gpu.download(&counter)?);
        match counted.first() {
            Some(&counted) if counted == all => Ok(Dispatches::of(&rounds)),
            counted => Err(wrong("counting dispatches", format!("{counted:?} of {all}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds in which an empty dispatch takes 2 us and a dependent one this much more.
    fn of(more: &[f64]) -> Dispatches {
        Dispatches::of(&more.iter().map(|more| [2e-6, (2.0 + more) * 1e-6]).collect::<Vec<_>>())
    }

    #[test]
    fn a_barrier_above_the_noise_is_known() {
        let Dispatches { empty_us, barrier_us, barrier_noise_us } = of(&[1.0, 1.2, 0.8, 1.1, 0.9]);
        assert!(
            (empty_us - 2.0).abs() < 1e-9 && (barrier_noise_us - 0.4).abs() < 1e-9,
            "{barrier_noise_us}"
        );
        assert!(barrier_us.is_some_and(|us| (us - 1.0).abs() < 1e-9), "{barrier_us:?}");
        // One slow submit of each kernel is an outlier, not the spread of eight.
        let more = of(&[1.0, 1.0, 1.1, 9.0, 0.9, -7.0, 1.0, 1.0]);
        assert!(more.barrier_us.is_some() && more.barrier_noise_us < 0.21, "{more:?}");
    }

    #[test]
    fn a_barrier_within_the_noise_is_none() {
        for more in [&[0.1, -0.1, 0.2, 0.0, 0.3][..], &[-0.5, -0.6, -0.4], &[0.0; 8], &[]] {
            assert_eq!(of(more).barrier_us, None, "{more:?}");
        }
    }

    #[test]
    fn the_drift_of_a_machine_is_not_noise() {
        let rounds: Vec<[f64; 2]> =
            (1..=8).map(|slow| [f64::from(slow) * 1e-6, f64::from(slow) * 1e-6 + 5e-7]).collect();
        let found = Dispatches::of(&rounds);
        assert!(
            found.barrier_us.is_some_and(|us| (us - 0.5).abs() < 1e-9)
                && found.barrier_noise_us < 1e-9,
            "{found:?}"
        );
    }
}
