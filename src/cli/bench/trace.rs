//! `bottleneck bench --trace`: a run of each workload as Chrome trace events, for Perfetto and
//! chrome://tracing.
//!
//! A workload on a device is a process with two threads: the CPU records block after block, submits
//! and waits; the GPU runs blocks of dispatches. The two have separate clocks, and wgpu does not
//! give their offset. The GPU cannot begin before the submit, so its first dispatch is drawn there:
//! lengths and gaps are measured, that position is not.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::gpu::TimedRun;
use wgpu_bottleneck::plan::Recording;

use super::super::error::CliError;
use super::super::timing;
use super::checked::Checked;
use super::device::DeviceReport;
use super::parts::block_name;
use super::workload::Workload;

/// The number of runs, of which the fastest is drawn.
const RUNS: usize = 5;
/// The threads of the CPU and of the GPU in each process.
const CPU: u32 = 1;
const GPU: u32 = 2;

/// All events of a trace.
#[derive(Debug, Default)]
pub struct Trace {
    events: Vec<Event>,
    processes: u32,
}

/// An event of the format. `ph` is its kind: `X` has a duration, `M` names a process or thread.
#[derive(Debug, Serialize)]
struct Event {
    name: String,
    ph: &'static str,
    pid: u32,
    tid: u32,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

impl Trace {
    /// Runs a workload that was timed before, and adds its events.
    pub fn add(
        &mut self,
        gpu: &Gpu,
        checked: &Checked,
        workload: &Workload,
    ) -> Result<(), CliError> {
        let run = fastest(gpu, checked)?;
        self.processes += 1;
        let on = DeviceReport::of(gpu).short();
        self.name("process_name", 0, &format!("{}: {} on {on}", workload.name, workload.what));
        self.name("thread_name", CPU, "CPU");
        let recording = checked.executor().recording();
        for (segment, span) in recording.segments.iter().zip(&run.recording) {
            let names: Vec<String> =
                segment.steps.iter().map(|recorded| recorded.step.to_string()).collect();
            self.span(CPU, format!("record {}", block_name(&names)), span, Value::Null);
        }
        self.span(CPU, "submit".to_owned(), &run.submit, Value::Null);
        self.span(CPU, "wait".to_owned(), &run.wait, Value::Null);
        if let Some(dispatches) = &run.dispatches {
            self.name("thread_name", GPU, "GPU (drawn from the submit on)");
            self.dispatches(recording, dispatches, run.submit.start);
        }
        Ok(())
    }

    /// The GPU's blocks, each over its dispatches. `start` is the time of the first.
    fn dispatches(&mut self, recording: &Recording, spans: &[Range<Duration>], start: Duration) {
        let mut spans = spans.iter().map(|span| start + span.start..start + span.end);
        for segment in &recording.segments {
            let names: Vec<String> =
                segment.steps.iter().map(|recorded| recorded.step.to_string()).collect();
            let dispatches = segment.steps.iter().zip(&names).flat_map(|(recorded, name)| {
                recorded.dispatches.iter().map(move |dispatch| (name, dispatch))
            });
            let drawn: Vec<_> = dispatches.zip(&mut spans).collect();
            if let (Some((_, first)), Some((_, last))) = (drawn.first(), drawn.last()) {
                self.span(GPU, block_name(&names), &(first.start..last.end), Value::Null);
            }
            for ((name, dispatch), span) in drawn {
                let args =
                    json!({ "kernel": dispatch.kernel.name(), "workgroups": dispatch.workgroups });
                self.span(GPU, name.clone(), &span, args);
            }
        }
    }

    /// Names the latest process, or a thread of it.
    fn name(&mut self, what: &str, tid: u32, name: &str) {
        let args = json!({ "name": name });
        self.events.push(Event {
            name: what.to_owned(),
            ph: "M",
            pid: self.processes,
            tid,
            ts: None,
            dur: None,
            args,
        });
    }

    /// Adds an event with a duration to the latest process.
    fn span(&mut self, tid: u32, name: String, span: &Range<Duration>, args: Value) {
        let micros = |time: Duration| Some(time.as_nanos() as f64 / 1e3);
        let (ts, dur) = (micros(span.start), micros(span.end.saturating_sub(span.start)));
        self.events.push(Event { name, ph: "X", pid: self.processes, tid, ts, dur, args });
    }

    /// The file.
    pub fn json(&self) -> Result<String, CliError> {
        let failed = |error: serde_json::Error| CliError::io("the trace", error.into());
        serde_json::to_string(&json!({ "displayTimeUnit": "ms", "traceEvents": self.events }))
            .map_err(failed)
    }
}

/// The fastest of some runs. Without timestamps, it has only the times of the CPU.
fn fastest(gpu: &Gpu, checked: &Checked) -> Result<TimedRun, CliError> {
    let bound = checked.buffers.bind(checked.executor())?;
    let timer = bound.timer()?;
    let run = || -> Result<TimedRun, CliError> {
        if let Some(timer) = &timer {
            return Ok(timer.run()?);
        }
        let run = timing::run(gpu, &bound)?;
        let submitted = run.record + run.submit;
        let (submit, wait) = (run.record..submitted, submitted..run.record + run.complete);
        Ok(TimedRun { recording: vec![Duration::ZERO..run.record], submit, wait, dispatches: None })
    };
    let mut fastest = run()?;
    for _ in 1..RUNS {
        let next = run()?;
        if next.wait.end < fastest.wait.end {
            fastest = next;
        }
    }
    Ok(fastest)
}
