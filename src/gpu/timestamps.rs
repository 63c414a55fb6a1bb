//! GPU time per step, by timestamp queries.
//!
//! Around every dispatch stands a pair of timestamps. Where the device can write them inside a pass, the passes are those of an
//! ordinary run; elsewhere each dispatch gets a pass of its own. What a driver writes is not believed blindly: a zero, a
//! time that runs backwards or a sum of nothing is no time at all.

use std::time::Duration;

use wgpu::{
    Buffer, BufferUsages, CommandEncoder, CommandEncoderDescriptor, ComputePassDescriptor, ComputePassTimestampWrites,
    Features, QUERY_SET_MAX_QUERIES, QUERY_SIZE, QuerySet, QuerySetDescriptor, QueryType,
};

use super::Gpu;
use super::executor::Bound;
use crate::error::Result;

/// How a device tells GPU times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampKind {
    /// Before and after each dispatch of a pass.
    InsidePasses,
    /// At the beginning and the end of passes: each dispatch is measured in one of its own.
    PassPerDispatch,
}

impl TimestampKind {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsidePasses => "inside passes",
            Self::PassPerDispatch => "a pass per dispatch",
        }
    }
}

impl Gpu {
    /// How this device tells GPU times; `None` if it does not, or was created without the features.
    #[must_use]
    pub fn timestamps(&self) -> Option<TimestampKind> {
        let features = self.inner.device.features();
        if !features.contains(Features::TIMESTAMP_QUERY) {
            None
        } else if features.contains(Features::TIMESTAMP_QUERY_INSIDE_PASSES) {
            Some(TimestampKind::InsidePasses)
        } else {
            Some(TimestampKind::PassPerDispatch)
        }
    }
}

/// Runs what is bound with timestamps around every dispatch. Made by [`Bound::timer`].
#[derive(Debug)]
pub struct Timer<'a> {
    bound: &'a Bound,
    kind: TimestampKind,
    sets: Vec<QuerySet>,
    resolved: Buffer,
    /// Nanoseconds per tick.
    period: f64,
}

/// Queries of a dispatch: before and after it.
const PAIR: u32 = 2;

impl Bound {
    /// What tells the GPU time of each step; `None` where the device has no timestamps.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`](crate::error::GpuError::OutOfMemory), or what the device reported.
    pub fn timer(&self) -> Result<Option<Timer<'_>>> {
        let gpu = &self.ready.gpu;
        let Some(kind) = gpu.timestamps() else { return Ok(None) };
        let dispatches = self.ready.recording.dispatch_count() as u32;
        let inner = &gpu.inner;
        let sets = inner.monitor.guarded(&inner.device, "making query sets", || {
            let set = |first: u32| {
                let count = (PAIR * dispatches - first).min(QUERY_SET_MAX_QUERIES);
                let descriptor = QuerySetDescriptor { label: Some("timestamps"), ty: QueryType::Timestamp, count };
                inner.device.create_query_set(&descriptor)
            };
            (0..PAIR * dispatches).step_by(QUERY_SET_MAX_QUERIES as usize).map(set).collect()
        })?;
        let bytes = u64::from(PAIR * dispatches) * u64::from(QUERY_SIZE);
        let resolved = gpu.buffer("timestamps", bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?;
        let period = f64::from(inner.queue.get_timestamp_period());
        Ok(Some(Timer { bound: self, kind, sets, resolved, period }))
    }
}

impl Timer<'_> {
    /// How it measures.
    #[must_use]
    pub fn kind(&self) -> TimestampKind {
        self.kind
    }

    /// Runs everything once, in one submit, and waits. Returns the GPU time of each step of the recording, in order; `None`
    /// when the driver's timestamps cannot be times. The first run of a device may be slower than those after it.
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost), or what the device reported.
    pub fn run(&self) -> Result<Option<Vec<Duration>>> {
        let inner = &self.bound.ready.gpu.inner;
        inner.monitor.guarded(&inner.device, "running with timestamps", || {
            let descriptor = CommandEncoderDescriptor { label: Some("timed run") };
            let mut encoder = inner.device.create_command_encoder(&descriptor);
            self.encode(&mut encoder);
            for (set, index) in self.sets.iter().zip(0..) {
                let offset = index * u64::from(QUERY_SET_MAX_QUERIES) * u64::from(QUERY_SIZE);
                encoder.resolve_query_set(set, 0..set.count(), &self.resolved, offset);
            }
            inner.queue.submit([encoder.finish()]);
        })?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&self.bound.ready.gpu.download(&self.resolved)?);
        let recording = &self.bound.ready.recording;
        let dispatches: Vec<usize> = recording.steps().map(|step| step.dispatches.len()).collect();
        Ok(durations(&ticks, self.period, &dispatches))
    }

    fn encode(&self, encoder: &mut CommandEncoder) {
        let mut at = 0;
        for segment in &self.bound.ready.recording.segments {
            let count = segment.steps.iter().map(|step| step.dispatches.len()).sum::<usize>();
            match self.kind {
                TimestampKind::InsidePasses => self.encode_pass(encoder, at, count),
                TimestampKind::PassPerDispatch => {
                    (at..at + count).for_each(|at| self.encode_dispatch(encoder, at));
                }
            }
            at += count;
        }
    }

    /// So many dispatches as one pass.
    fn encode_pass(&self, encoder: &mut CommandEncoder, first: usize, count: usize) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for at in first..first + count {
            let (set, before) = self.queries(at);
            pass.write_timestamp(set, before);
            self.bound.ready.launch(at, &self.bound.groups, &mut pass);
            pass.write_timestamp(set, before + 1);
        }
    }

    /// One dispatch in a pass of its own.
    fn encode_dispatch(&self, encoder: &mut CommandEncoder, at: usize) {
        let (query_set, before) = self.queries(at);
        let timestamp_writes = Some(ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(before),
            end_of_pass_write_index: Some(before + 1),
        });
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes });
        self.bound.ready.launch(at, &self.bound.groups, &mut pass);
    }

    /// The set of a dispatch's queries and the first of them.
    fn queries(&self, dispatch: usize) -> (&QuerySet, u32) {
        let (first, most) = (PAIR as usize * dispatch, QUERY_SET_MAX_QUERIES as usize);
        (&self.sets[first / most], (first % most) as u32)
    }
}

/// The time of each step from the ticks before and after each dispatch; `None` for ticks that are not times.
fn durations(ticks: &[u64], period: f64, dispatches: &[usize]) -> Option<Vec<Duration>> {
    let believable = period > 0.0 && period.is_finite() && ticks.first() != Some(&0) && ticks.is_sorted();
    let mut pairs = ticks.chunks_exact(PAIR as usize);
    if !believable || pairs.clone().all(|pair| pair[0] == pair[1]) {
        return None;
    }
    let step = |&count: &usize| {
        let passed: u64 = pairs.by_ref().take(count).map(|pair| pair[1] - pair[0]).sum();
        Duration::try_from_secs_f64(passed as f64 * period / 1e9).ok()
    };
    dispatches.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_the_times_of_steps() {
        let nanos = |times: &[u64]| Some(times.iter().map(|&time| Duration::from_nanos(time)).collect::<Vec<_>>());
        assert_eq!(durations(&[10, 12, 15, 19, 19, 19], 2.0, &[1, 1, 1]), nanos(&[4, 8, 0]));
        assert_eq!(durations(&[10, 12, 15, 19, 20, 21], 1.0, &[2, 1]), nanos(&[6, 1]));
    }

    #[test]
    fn nonsense_is_no_time() {
        let one = |ticks: &[u64], period| durations(ticks, period, &vec![1; ticks.len() / 2]);
        assert_eq!(one(&[0, 0, 0, 0], 1.0), None);
        assert_eq!(one(&[0, 5], 1.0), None);
        assert_eq!(one(&[7, 7, 9, 9], 1.0), None);
        assert_eq!(one(&[10, 12, 11, 13], 1.0), None);
        assert_eq!(one(&[10, 9], 1.0), None);
        assert_eq!(one(&[10, 12], 0.0), None);
        assert_eq!(one(&[10, 12], f64::NAN), None);
        assert_eq!(one(&[1, u64::MAX], f64::MAX), None);
        assert_eq!(one(&[], 1.0), None);
    }
}
