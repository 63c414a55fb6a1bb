//! Groups of segments that are submitted together, short enough for a watchdog.
//!
//! Operating systems and drivers end work that occupies a GPU for too long: Windows after 2 s
//! (TDR), Linux' amdgpu after 60 s, or 2 s from Linux 7 on, its i915 earlier. Integrated GPUs reach
//! such times with batches that are common on larger ones.

use std::ops::Range;

use super::{RecordedStep, Recording};

/// The longest estimated time of a submit, in seconds, unless a single segment takes longer.
pub const SUBMIT_SECONDS: f64 = 0.2;

/// The longest estimated time of a step of a chain of blocks, in seconds, if its input can be
/// split.
pub const STEP_SECONDS: f64 = 0.5;

/// The FLOP/s of a device with a watchdog until its rate has been measured: an integrated GPU of
/// 2015 or later reaches it.
pub const ASSUMED_RATE: u64 = 400_000_000_000;

/// FLOPs that a GPU computes in the time of one byte of memory traffic. An integrated GPU of 400
/// GFLOP/s has about 40 GB/s.
const FLOPS_PER_BYTE: u64 = 10;

impl Recording {
    /// The work of a step in FLOPs, with its memory traffic as the FLOPs of the same time. No
    /// dispatch of the step has more.
    #[must_use]
    pub fn step_work(&self, recorded: &RecordedStep) -> u64 {
        let traffic = self.plan.step_min_bytes(&recorded.step).saturating_mul(FLOPS_PER_BYTE);
        self.plan.step_flops(&recorded.step).saturating_add(traffic)
    }

    /// The work of the segment with this index: the sum of [`Recording::step_work`].
    #[must_use]
    pub fn segment_work(&self, segment: usize) -> u64 {
        let steps = self.segments[segment].steps.iter();
        steps.fold(0, |sum, step| sum.saturating_add(self.step_work(step)))
    }

    /// Whether no step takes longer than [`STEP_SECONDS`] at this rate in FLOP/s.
    #[must_use]
    pub fn has_short_steps(&self, rate: u64) -> bool {
        let most = (rate as f64 * STEP_SECONDS) as u64;
        self.steps().all(|step| self.step_work(step) <= most)
    }

    /// Ranges of segments to submit together on a device of this rate in FLOP/s: each takes at
    /// most [`SUBMIT_SECONDS`] by the estimate, or is a single segment.
    #[must_use]
    pub fn submits(&self, rate: u64) -> Vec<Range<usize>> {
        let most = (rate.max(1) as f64 * SUBMIT_SECONDS) as u64;
        let (mut groups, mut work) = (Vec::<Range<usize>>::new(), 0u64);
        for segment in 0..self.segments.len() {
            let more = self.segment_work(segment);
            match groups.last_mut().filter(|_| work.saturating_add(more) <= most) {
                Some(group) => group.end = segment + 1,
                None => {
                    groups.push(segment..segment + 1);
                    work = 0;
                }
            }
            work = work.saturating_add(more);
        }
        groups
    }
}
