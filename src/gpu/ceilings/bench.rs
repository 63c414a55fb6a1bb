//! Times work on a device: from submit to the end of the wait.

use std::time::{Duration, Instant};

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, CommandEncoder,
    CommandEncoderDescriptor, ComputePassDescriptor,
};

use super::kernels::Kernel;
use crate::error::{Error, GpuError, Result};
use crate::gpu::Gpu;
use crate::gpu::pipeline::Pipeline;
use crate::gpu::proof::Path;
use crate::gpu::readback::{Readback, Staging};

/// How much time [`Ceilings::measure`](super::Ceilings::measure) spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CeilingOptions {
    /// Minimum duration of one submit.
    pub submit: Duration,
    /// Number of submits; the fastest is used. For dispatches and barriers, at least eight.
    pub submits: usize,
    /// Bytes per copy, limited by the largest binding of the device.
    pub copy_bytes: u64,
}

impl Default for CeilingOptions {
    /// About six seconds, with copies larger than the caches of current GPUs.
    fn default() -> Self {
        Self { submit: Duration::from_millis(40), submits: 8, copy_bytes: 128 << 20 }
    }
}

impl CeilingOptions {
    /// A fraction of a second: for a rough impression, not for comparisons.
    #[must_use]
    pub fn quick() -> Self {
        Self { submit: Duration::from_millis(4), submits: 3, copy_bytes: 8 << 20 }
    }
}

/// Maximum number of rounds, copies or dispatches in a submit, however fast they are.
const MOST: u32 = 1 << 16;

/// A submit of this amount of work takes longer than the resolution of any clock.
const MEASURABLE: u32 = 64;

/// A device to measure, and for how long.
pub(super) struct Bench<'a> {
    pub gpu: &'a Gpu,
    pub options: CeilingOptions,
}

/// A compiled kernel and its bind group.
pub(super) struct Bound {
    pipeline: Pipeline,
    group: BindGroup,
}

impl Bench<'_> {
    /// The amount of work that takes the minimum duration of a submit.
    pub fn amount(&self, run: &mut impl FnMut(u32) -> Result<Duration>) -> Result<u32> {
        amount(self.options.submit, run)
    }

    /// That amount, and the seconds of the fastest submit with it.
    pub fn fastest(&self, mut run: impl FnMut(u32) -> Result<Duration>) -> Result<(u32, f64)> {
        let amount = self.amount(&mut run)?;
        let mut fastest = run(amount)?;
        for _ in 1..self.options.submits {
            fastest = fastest.min(run(amount)?);
        }
        Ok((amount, fastest.as_secs_f64().max(1e-9)))
    }

    /// The time from submit to the end of the wait.
    pub fn time(&self, encode: impl FnOnce(&mut CommandEncoder, &mut Path)) -> Result<Duration> {
        let inner = &self.gpu.inner;
        let (proof, staging) = (self.gpu.proof(1, 1)?, Staging::new(self.gpu, 0)?);
        let (commands, expected) = inner.monitor.guarded(&inner.device, "recording", || {
            let descriptor = CommandEncoderDescriptor { label: Some("ceilings") };
            let mut encoder = inner.device.create_command_encoder(&descriptor);
            let mut path = proof.begin(&inner.queue, 0);
            encode(&mut encoder, &mut path);
            path.bring_back(&mut encoder, &staging.buffer, 0);
            (encoder.finish(), path.expected())
        })?;
        let start = Instant::now();
        inner.monitor.guarded(&inner.device, "measuring", || inner.queue.submit([commands]))?;
        self.gpu.wait()?;
        let elapsed = start.elapsed();
        Readback::start(self.gpu, &staging, 0, expected)?.wait(|_| ())?;
        Ok(elapsed)
    }

    /// Writes into a buffer before the next submit.
    pub fn write(&self, buffer: &Buffer, at: u64, bytes: &[u8]) -> Result<()> {
        let inner = &self.gpu.inner;
        Ok(inner
            .monitor
            .guarded(&inner.device, "uploading", || inner.queue.write_buffer(buffer, at, bytes))?)
    }

    /// Compiles a kernel and binds buffers to the bindings 0, 1, 2, ...
    pub fn bind(&self, kernel: Kernel, buffers: &[&Buffer]) -> Result<Bound> {
        let pipeline = self.gpu.compile(&kernel.name(), &kernel.text()?, kernel.extensions())?;
        let inner = &self.gpu.inner;
        let group = inner.monitor.guarded(&inner.device, "binding buffers", || {
            let resources = buffers.iter().map(|buffer| buffer.as_entire_binding());
            let entries: Vec<_> = (0..)
                .zip(resources)
                .map(|(binding, resource)| BindGroupEntry { binding, resource })
                .collect();
            let name = kernel.name();
            let (label, layout) = (Some(name.as_str()), &pipeline.layout);
            inner.device.create_bind_group(&BindGroupDescriptor {
                label,
                layout,
                entries: &entries,
            })
        })?;
        Ok(Bound { pipeline, group })
    }
}

/// The amount of work that takes at least this time, found by doubling it. A clock that stands
/// still or runs backwards is an error: further doubling would take hours.
fn amount(least: Duration, run: &mut impl FnMut(u32) -> Result<Duration>) -> Result<u32> {
    let mut amount = 1;
    loop {
        let time = run(amount)?;
        if time >= least || amount >= MOST {
            return Ok(amount);
        }
        if time.is_zero() && amount >= MEASURABLE {
            let reason = "the host's clock stands still or runs backwards".to_owned();
            return Err(wrong("measuring the ceilings", reason));
        }
        amount *= 2;
    }
}

/// Repeats the same dispatch in one pass.
pub(super) fn dispatch(
    encoder: &mut CommandEncoder,
    path: &mut Path,
    bound: &Bound,
    [x, y, z]: [u32; 3],
    times: usize,
) {
    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
    pass.set_pipeline(&bound.pipeline.pipeline);
    pass.set_bind_group(0, &bound.group, &[]);
    (0..times).for_each(|_| pass.dispatch_workgroups(x, y, z));
    path.computed(&mut pass);
}

/// An error: a kernel's result is wrong.
pub(super) fn wrong(doing: &'static str, reason: String) -> Error {
    GpuError::Wrong { doing, reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_doubled_unless_the_clock_stands_still() -> Result<()> {
        let least = Duration::from_millis(5);
        let of = |one: Duration| amount(least, &mut |amount| Ok(one * amount));
        assert_eq!(of(Duration::from_millis(5))?, 1);
        assert_eq!(of(Duration::from_micros(3))?, 2048);
        assert_eq!(of(Duration::from_nanos(1))?, MOST);
        let mut most = 0;
        let stopped = amount(least, &mut |amount| {
            most = amount;
            Ok(Duration::ZERO)
        });
        assert!(stopped.is_err_and(|error| error.to_string().contains("the host's clock")));
        assert_eq!(most, MEASURABLE);
        Ok(())
    }
}
