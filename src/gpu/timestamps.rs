//! GPU time per dispatch, by timestamp queries.
//!
//! Each dispatch is enclosed by a pair of timestamps. If the device can write them inside a pass,
//! the passes are the same as in an ordinary run; otherwise each dispatch gets a separate pass.
//! Timestamps are validated: if one is zero, they run backwards or all durations are zero, no times
//! are reported.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wgpu::{
    Buffer, BufferUsages, CommandBuffer, CommandEncoder, CommandEncoderDescriptor,
    ComputePassDescriptor, ComputePassTimestampWrites, Features, QUERY_SET_MAX_QUERIES, QUERY_SIZE,
    QuerySet, QuerySetDescriptor, QueryType,
};

use super::Bound;
use super::Gpu;
use super::proof::{Path, Proof};
use super::readback::{Readback, Staging};
use crate::error::Result;
use crate::plan::Segment;

/// How a device measures GPU times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampKind {
    /// Timestamps before and after each dispatch of a pass.
    InsidePasses,
    /// Timestamps at the beginning and the end of a pass: each dispatch is measured in a separate
    /// pass.
    PassPerDispatch,
}

impl TimestampKind {
    /// A description in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsidePasses => "inside passes",
            Self::PassPerDispatch => "a pass per dispatch",
        }
    }
}

impl Gpu {
    /// How this device measures GPU times; `None` if it does not, or was created without the
    /// features.
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

/// A run with timestamps: times on the CPU and times on the GPU. The two clocks are separate, and
/// the offset between them is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedRun {
    /// The recording of each segment on the CPU, relative to the start of the first.
    pub recording: Vec<Range<Duration>>,
    /// The submit of all command buffers to the queue, on the same clock.
    pub submit: Range<Duration>,
    /// Waiting for the work to be done, on the same clock.
    pub wait: Range<Duration>,
    /// Each dispatch on the GPU, relative to the start of the first; `None` if the driver's
    /// timestamps are invalid.
    pub dispatches: Option<Vec<Range<Duration>>>,
}

/// Runs bound dispatches with timestamps around each. Created by [`Bound::timer`].
#[derive(Debug)]
pub struct Timer<'a> {
    bound: &'a Bound,
    kind: TimestampKind,
    sets: Vec<QuerySet>,
    resolved: Buffer,
    /// Brings back the number of each run; locked while a run is submitted.
    proof: Mutex<Arc<Proof>>,
    /// Nanoseconds per tick.
    period: f64,
}

/// Queries per dispatch: before and after it.
const PAIR: u32 = 2;

impl Bound {
    /// A timer for the GPU time of each dispatch; `None` if the device has no timestamps.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`](crate::error::GpuError::OutOfMemory), or any error of the device.
    pub fn timer(&self) -> Result<Option<Timer<'_>>> {
        let gpu = &self.ready.gpu;
        let Some(kind) = gpu.timestamps() else { return Ok(None) };
        let dispatches = self.ready.recording.dispatch_count() as u32;
        let inner = &gpu.inner;
        let sets = inner.monitor.guarded(&inner.device, "making query sets", || {
            let set = |first: u32| {
                let count = (PAIR * dispatches - first).min(QUERY_SET_MAX_QUERIES);
                let descriptor = QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: QueryType::Timestamp,
                    count,
                };
                inner.device.create_query_set(&descriptor)
            };
            (0..PAIR * dispatches).step_by(QUERY_SET_MAX_QUERIES as usize).map(set).collect()
        })?;
        let bytes = u64::from(PAIR * dispatches) * u64::from(QUERY_SIZE);
        let resolved =
            gpu.buffer("timestamps", bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?;
        let period = f64::from(inner.queue.get_timestamp_period());
        let proof = gpu.proof(self.ready.copy_sections(), 1)?;
        Ok(Some(Timer { bound: self, kind, sets, resolved, proof: Mutex::new(proof), period }))
    }
}

impl Timer<'_> {
    /// The kind of measurement.
    #[must_use]
    pub fn kind(&self) -> TimestampKind {
        self.kind
    }

    /// Runs everything once, like an ordinary run: a command buffer per segment, all in one submit.
    /// Waits until it is done. The first run on a device may be slower than later ones.
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost), or any error of the device.
    pub fn run(&self) -> Result<TimedRun> {
        let (gpu, bytes) = (&self.bound.ready.gpu, self.resolved.size());
        let staging = Staging::new(gpu, bytes)?;
        let (inner, start) = (&gpu.inner, Instant::now());
        let mut recording = Vec::new();
        let proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        let (submit, expected) =
            inner.monitor.guarded(&inner.device, "running with timestamps", || {
                let mut path = proof.begin(&inner.queue, 0);
                let mut commands =
                    self.record(&mut path, |since| recording.push(since - start..start.elapsed()));
                commands.push(self.resolve(&path, &staging.buffer));
                let begun = start.elapsed();
                inner.queue.submit(commands);
                (begun..start.elapsed(), path.expected())
            })?;
        drop(proof);
        gpu.wait()?;
        let wait = submit.end..start.elapsed();
        let readback = Readback::start(gpu, &staging, bytes, expected)?;
        let ticks: Vec<u64> = readback.wait(bytemuck::pod_collect_to_vec)?;
        Ok(TimedRun { recording, submit, wait, dispatches: spans(&ticks, self.period) })
    }

    /// A command buffer per segment. `done` is called after each, with its start time.
    fn record(&self, path: &mut Path, mut done: impl FnMut(Instant)) -> Vec<CommandBuffer> {
        let mut at = 0;
        let segment = |(index, segment): (usize, &Segment)| {
            let start = Instant::now();
            let count = segment.steps.iter().map(|step| step.dispatches.len()).sum::<usize>();
            let commands = self.commands("timed segment", |encoder| {
                for run in self.bound.ready.passes(at..at + count) {
                    self.bound.ready.copy_textures(run.start, encoder, path);
                    match self.kind {
                        TimestampKind::InsidePasses => self.encode_pass(encoder, run, path),
                        TimestampKind::PassPerDispatch => {
                            run.for_each(|at| self.encode_dispatch(encoder, at))
                        }
                    }
                }
                self.bound.ready.carry(index, encoder, path);
            });
            at += count;
            done(start);
            commands
        };
        self.bound.ready.recording.segments.iter().enumerate().map(segment).collect()
    }

    /// The commands that copy the timestamps into a staging buffer, and behind them the number.
    fn resolve(&self, path: &Path, staging: &Buffer) -> CommandBuffer {
        self.commands("timestamps", |encoder| {
            for (set, index) in self.sets.iter().zip(0..) {
                let offset = index * u64::from(QUERY_SET_MAX_QUERIES) * u64::from(QUERY_SIZE);
                encoder.resolve_query_set(set, 0..set.count(), &self.resolved, offset);
            }
            let bytes = self.resolved.size();
            encoder.copy_buffer_to_buffer(&self.resolved, 0, staging, 0, bytes);
            path.bring_back(encoder, staging, bytes);
        })
    }

    fn commands(&self, label: &str, encode: impl FnOnce(&mut CommandEncoder)) -> CommandBuffer {
        let descriptor = CommandEncoderDescriptor { label: Some(label) };
        let mut encoder = self.bound.ready.gpu.inner.device.create_command_encoder(&descriptor);
        encode(&mut encoder);
        encoder.finish()
    }

    /// Encodes dispatches as one pass.
    fn encode_pass(&self, encoder: &mut CommandEncoder, dispatches: Range<usize>, path: &mut Path) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for at in dispatches {
            let (set, before) = self.queries(at);
            pass.write_timestamp(set, before);
            self.bound.ready.launch(at, &self.bound.groups, &mut pass);
            pass.write_timestamp(set, before + 1);
        }
        path.computed(&mut pass);
    }

    /// Encodes one dispatch as a separate pass. A dispatch that counts the number of the run up
    /// would be part of the measured time.
    fn encode_dispatch(&self, encoder: &mut CommandEncoder, at: usize) {
        let (query_set, before) = self.queries(at);
        let timestamp_writes = Some(ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(before),
            end_of_pass_write_index: Some(before + 1),
        });
        let mut pass =
            encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes });
        self.bound.ready.launch(at, &self.bound.groups, &mut pass);
    }

    /// The set of a dispatch's queries and the index of the first.
    fn queries(&self, dispatch: usize) -> (&QuerySet, u32) {
        let (first, most) = (PAIR as usize * dispatch, QUERY_SET_MAX_QUERIES as usize);
        (&self.sets[first / most], (first % most) as u32)
    }
}

/// Converts the ticks before and after each dispatch to times since the first; `None` if the ticks
/// are invalid.
fn spans(ticks: &[u64], period: f64) -> Option<Vec<Range<Duration>>> {
    let first = *ticks.first()?;
    let believable = period > 0.0 && period.is_finite() && first != 0 && ticks.is_sorted();
    let pairs = || ticks.chunks_exact(PAIR as usize);
    if !believable || pairs().all(|pair| pair[0] == pair[1]) {
        return None;
    }
    let since = |tick: u64| Duration::try_from_secs_f64((tick - first) as f64 * period / 1e9).ok();
    pairs().map(|pair| Some(since(pair[0])?..since(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_times_since_the_first() {
        let nanos = |spans: &[[u64; 2]]| {
            let span =
                |[start, end]: &[u64; 2]| Duration::from_nanos(*start)..Duration::from_nanos(*end);
            Some(spans.iter().map(span).collect::<Vec<_>>())
        };
        assert_eq!(spans(&[10, 12, 15, 19, 19, 19], 2.0), nanos(&[[0, 4], [10, 18], [18, 18]]));
        assert_eq!(spans(&[10, 12, 15, 19], 1.0), nanos(&[[0, 2], [5, 9]]));
    }

    #[test]
    fn nonsense_is_no_time() {
        assert_eq!(spans(&[0, 0, 0, 0], 1.0), None);
        assert_eq!(spans(&[0, 5], 1.0), None);
        assert_eq!(spans(&[7, 7, 9, 9], 1.0), None);
        assert_eq!(spans(&[10, 12, 11, 13], 1.0), None);
        assert_eq!(spans(&[10, 9], 1.0), None);
        assert_eq!(spans(&[10, 12], 0.0), None);
        assert_eq!(spans(&[10, 12], f64::NAN), None);
        assert_eq!(spans(&[1, u64::MAX], f64::MAX), None);
        assert_eq!(spans(&[], 1.0), None);
    }
}
