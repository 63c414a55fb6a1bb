//! Runs models and networks on the program's own buffers, as an app would, and times them.

use std::time::{Duration, Instant};

use wgpu_bottleneck::gpu::{Bound, Executor};
use wgpu_bottleneck::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{Error, Gpu, HostTensor};

/// Uncounted runs: the first ones include the driver's compilation and the first access to memory.
const WARM_UP: usize = 2;
/// Counted runs: at most this many,
const MOST_RUNS: usize = 30;
/// and no more once they have taken this long, all models together,
const BUDGET: Duration = Duration::from_millis(1400);
/// but at least this many, since a median of fewer means little.
const FEWEST_RUNS: usize = 11;

/// An input and an output buffer on the device: NHWC, channels padded to a multiple of four.
pub struct Buffers {
    input: Buffer,
    output: Buffer,
}

impl Buffers {
    /// Buffers for a model's or network's executor, with the input uploaded.
    pub fn new(executor: &Executor, input: &HostTensor) -> Result<Self, Error> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let gpu = executor.gpu();
        let buffer = |label, size| {
            let descriptor =
                BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
            gpu.guarded("creating a buffer", || gpu.device().create_buffer(&descriptor))
        };
        let buffers = Self {
            input: buffer("our input", executor.input_bytes())?,
            output: buffer("our output", executor.output_bytes())?,
        };
        let plan = &executor.recording().plan;
        let packed = input.to_nhwc(plan.tensor(plan.input).layout)?;
        let write = || gpu.queue().write_buffer(&buffers.input, 0, bytemuck::cast_slice(&packed));
        gpu.guarded("uploading", write)?;
        Ok(buffers)
    }

    /// The executor, ready to be recorded on these buffers.
    pub fn bind(&self, executor: &Executor) -> Result<Bound, Error> {
        executor.bind(&self.input, &self.output)
    }

    /// The output of the last run.
    pub fn download(&self, executor: &Executor) -> Result<HostTensor, Error> {
        let plan = &executor.recording().plan;
        let info = plan.tensor(plan.output);
        let values: Vec<f32> =
            bytemuck::pod_collect_to_vec(&executor.gpu().download(&self.output)?);
        Ok(HostTensor::from_nhwc(info.shape, info.layout, &values)?)
    }
}

/// One run's times.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Recording the command buffers, on the CPU.
    pub record: Duration,
    /// Submitting them to the queue, on the CPU.
    pub submit: Duration,
    /// From just before the submit to the end of the wait for its work.
    pub complete: Duration,
}

/// Records, submits, waits; then checks that the work ran.
pub fn run(gpu: &Gpu, bound: &Bound) -> Result<Run, Error> {
    let start = Instant::now();
    let commands = bound.record()?;
    let recorded = Instant::now();
    let submitted = gpu.guarded("submitting", || {
        gpu.queue().submit(commands);
        Instant::now()
    })?;
    gpu.wait()?;
    let complete = recorded.elapsed();
    bound.verify()?;
    Ok(Run { record: recorded - start, submit: submitted - recorded, complete })
}

/// Runs the models in turn, and in the opposite order in every other round, so that other load on
/// the machine affects them equally. Returns the runs of each.
pub fn interleaved(gpu: &Gpu, models: &[&Bound]) -> Result<Vec<Vec<Run>>, Error> {
    for bound in models {
        for _ in 0..WARM_UP {
            run(gpu, bound)?;
        }
    }
    let mut runs = vec![Vec::new(); models.len()];
    let start = Instant::now();
    for round in 0..MOST_RUNS {
        if round >= FEWEST_RUNS && start.elapsed() > BUDGET {
            break;
        }
        for turn in 0..models.len() {
            let index = if round % 2 == 0 { turn } else { models.len() - 1 - turn };
            runs[index].push(run(gpu, models[index])?);
        }
    }
    Ok(runs)
}

/// The median; zero without values.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
