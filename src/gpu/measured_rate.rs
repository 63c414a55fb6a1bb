//! The rate at which a device computes, measured from whole runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// FLOP/s, or 0 before the first run that is long enough.
#[derive(Debug, Default)]
pub(super) struct MeasuredRate(AtomicU64);

/// Runs that are shorter say more about the host than about the device.
const LONG_ENOUGH: Duration = Duration::from_millis(20);

/// A rate outside of this range in FLOP/s is an error of measurement.
const PLAUSIBLE: [f64; 2] = [1e9, 1e14];

impl MeasuredRate {
    /// The rate of the runs so far.
    pub fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&rate| rate > 0)
    }

    /// Adds a run of this work in FLOPs. Later runs count as much as all earlier ones, since a
    /// device gets slower when it gets hot.
    pub fn add(&self, work: u64, elapsed: Duration) {
        if elapsed < LONG_ENOUGH {
            return;
        }
        let [least, most] = PLAUSIBLE;
        let rate = (work as f64 / elapsed.as_secs_f64()).clamp(least, most) as u64;
        let mean = self.get().map_or(rate, |before| before / 2 + rate / 2);
        self.0.store(mean, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_do_not_count() {
        let rate = MeasuredRate::default();
        rate.add(1 << 40, Duration::from_millis(1));
        assert_eq!(rate.get(), None);
        rate.add(1_000_000_000_000, Duration::from_secs(2));
        assert_eq!(rate.get(), Some(500_000_000_000));
        rate.add(0, Duration::from_secs(1));
        assert_eq!(rate.get(), Some(250_500_000_000));
    }
}
