//! Learning rate schedules.

use std::f64::consts::PI;

/// How the learning rate changes after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// Constant.
    Constant,
    /// A half cosine down to zero, as in PyTorch's `CosineAnnealingLR`.
    Cosine,
    /// Multiplied by `factor` after every `every` steps, as in PyTorch's `StepLR`.
    Steps {
        /// The number of steps between changes.
        every: u64,
        /// The factor.
        factor: f64,
    },
}

/// The learning rate of each step of a run: it rises linearly over the warm-up, then decays.
///
/// ```
/// use wgpu_bottleneck::engine::{Decay, Schedule};
///
/// let schedule = Schedule { rate: 0.4, warmup: 4, decay: Decay::Cosine, steps: 104 };
/// assert_eq!([0, 3, 4, 54].map(|step| schedule.rate(step)), [0.1, 0.4, 0.4, 0.2]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub rate: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// The decay after the warm-up.
    pub decay: Decay,
    /// Steps of the run, including the warm-up.
    pub steps: u64,
}

impl Schedule {
    /// The learning rate of a step; steps are numbered from 0.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.rate * (step + 1) as f64 / self.warmup as f64;
        }
        let (past, all) = (step - self.warmup, self.steps.saturating_sub(self.warmup).max(1));
        match self.decay {
            Decay::Constant => self.rate,
            Decay::Cosine => {
                self.rate * 0.5 * (1.0 + (PI * past.min(all) as f64 / all as f64).cos())
            }
            Decay::Steps { every, factor } => {
                let times = past / every.max(1);
                self.rate * factor.powi(i32::try_from(times).unwrap_or(i32::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let of = |warmup, decay| Schedule { rate: 1.0, warmup, decay, steps: 10 };
        let rates =
            |schedule: Schedule| (0..10).map(|step| schedule.rate(step)).collect::<Vec<f64>>();
        assert_eq!(rates(of(0, Decay::Constant)), [1.0; 10]);
        let steps = rates(of(2, Decay::Steps { every: 3, factor: 0.5 }));
        assert_eq!(steps, [0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
        let cosine = rates(of(0, Decay::Cosine));
        assert!(
            cosine.is_sorted_by(|a, b| a > b)
                && cosine[0] == 1.0
                && (cosine[5] - 0.5).abs() < 1e-12
        );
        // The rate is finite after the end of the run, and if the warm-up is the whole run.
        assert!(of(0, Decay::Cosine).rate(1000).abs() < 1e-12);
        assert_eq!(of(10, Decay::Cosine).rate(10), 1.0);
    }
}
