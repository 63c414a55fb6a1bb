//! Measures the peak performance of a device, to rate a kernel's speed as a share of it.
//!
//! Everything is timed from submit to the end of the wait, with enough work in one submit that its
//! overhead is negligible. The fastest of several submits is the ceiling, since any other load on
//! the machine can only slow a submit down. The kernels' results are checked, so that a driver that
//! skips work does not appear fast.

mod dispatches;
mod kernels;

use std::time::{Duration, Instant};

use bytemuck::bytes_of;
use serde::{Deserialize, Serialize};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, BufferUsages, CommandEncoder,
    CommandEncoderDescriptor, ComputePassDescriptor, Features,
};

use self::dispatches::Dispatches;
pub use self::kernels::ceiling_kernels;
use self::kernels::{
    CopyParams, Fma, FmaParams, Kernel, LANES, Matrix, MatrixParams, VEC4S_PER_GROUP,
};
use super::Gpu;
use super::pipeline::Pipeline;
use crate::error::{Error, GpuError, Result};
use crate::kernel::all_candidates;
use crate::tensor::DType;

/// The ceilings of a device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// f32 multiply-adds, two operations each, in 10^9 operations a second: the fastest of several
    /// variants.
    pub fma_gflops: f64,
    /// The same for f16, in pairs; `None` if the device has no f16, or was created without it.
    #[serde(default)]
    pub fma_f16_gflops: Option<f64>,
    /// The same for matrices of f16 with sums in f32, on matrix units: the fastest of several
    /// variants; `None` if no kernel for matrix units runs on the device, or their results are
    /// wrong, which is logged (see [`GpuOptions::matrices`](super::GpuOptions::matrices)).
    #[serde(default)]
    pub matrix_gflops: Option<f64>,
    /// Bytes read plus bytes written by a copy that exceeds the caches, in 10^9 bytes a second: by
    /// a kernel, or by the driver's own copy if that is faster.
    pub copy_gbps: f64,
    /// Microseconds of an empty dispatch, in a pass with many others.
    pub empty_dispatch_us: f64,
    /// Additional microseconds of a dispatch that reads the output of the previous one: the median
    /// of the differences between submits of such dispatches and of empty ones, alternating. `None`
    /// if the median does not exceed [`Ceilings::barrier_noise_us`]: the cost is then unknown.
    #[serde(default)]
    pub barrier_us: Option<f64>,
    /// The noise of that measurement in microseconds: the distance between the tenth and the
    /// ninetieth percentile of those differences.
    #[serde(default)]
    pub barrier_noise_us: f64,
}

/// How much time [`Ceilings::measure`] spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CeilingOptions {
    /// Minimum duration of one submit.
    pub submit: Duration,
    /// Number of submits, of which the fastest counts; for dispatches and barriers, at least eight.
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

impl Ceilings {
    /// Measures a device.
    ///
    /// # Errors
    /// [`GpuError::Wrong`] if a result is wrong; [`GpuError::OutOfMemory`], [`GpuError::Lost`], or
    /// any error of the device.
    pub fn measure(gpu: &Gpu, options: &CeilingOptions) -> Result<Self> {
        let bench = Bench { gpu, options: *options };
        let has_f16 = gpu.inner.device.features().contains(Features::SHADER_F16);
        let Dispatches { empty_us, barrier_us, barrier_noise_us } = bench.dispatches()?;
        Ok(Self {
            fma_gflops: bench.fastest_fma(false)? / 1e9,
            fma_f16_gflops: if has_f16 { Some(bench.fastest_fma(true)? / 1e9) } else { None },
            matrix_gflops: bench.matrices()?.map(|flops| flops / 1e9),
            copy_gbps: bench.copy()? / 1e9,
            empty_dispatch_us: empty_us,
            barrier_us,
            barrier_noise_us,
        })
    }

    /// Only [`fma_gflops`](Self::fma_gflops), measured as in [`measure`](Self::measure), in about a
    /// third of the time.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn measure_fma(gpu: &Gpu, options: &CeilingOptions) -> Result<f64> {
        Ok(Bench { gpu, options: *options }.fastest_fma(false)? / 1e9)
    }

    /// The better of two measurements of one device, as any other load on the machine can only make
    /// one worse. For barriers, the one with less noise.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        let quieter = if other.barrier_noise_us < self.barrier_noise_us { other } else { self };
        Self {
            fma_gflops: self.fma_gflops.max(other.fma_gflops),
            fma_f16_gflops: self
                .fma_f16_gflops
                .into_iter()
                .chain(other.fma_f16_gflops)
                .reduce(f64::max),
            matrix_gflops: self
                .matrix_gflops
                .into_iter()
                .chain(other.matrix_gflops)
                .reduce(f64::max),
            copy_gbps: self.copy_gbps.max(other.copy_gbps),
            empty_dispatch_us: self.empty_dispatch_us.min(other.empty_dispatch_us),
            barrier_us: quieter.barrier_us,
            barrier_noise_us: quieter.barrier_noise_us,
        }
    }

    /// The ceiling for a convolution's arithmetic, with sums in f32: for f16, that of matrix units
    /// if they are faster than multiply-adds.
    #[must_use]
    pub fn arithmetic_gflops(&self, dtype: DType) -> f64 {
        match dtype {
            DType::F32 => self.fma_gflops,
            DType::F16 => self.fma_gflops.max(self.matrix_gflops.unwrap_or_default()),
        }
    }
}

/// Workgroups of `bench/fma`: enough to fill any GPU.
const FMA_GROUPS: u32 = 4096;
/// Workgroups of `bench/matrix`, likewise: fifteen for each multiprocessor of an H100.
const MATRIX_GROUPS: u32 = 2048;
/// Maximum number of rounds, copies or dispatches in a submit, however fast they are.
const MOST: u32 = 1 << 16;
/// The last bytes of the copy, used to check it.
const MARK: [u8; 16] = *b"the end, copied.";

struct Bench<'a> {
    gpu: &'a Gpu,
    options: CeilingOptions,
}

/// A compiled kernel and its bind group.
struct Bound {
    pipeline: Pipeline,
    group: BindGroup,
}

impl Bench<'_> {
    /// Operations a second of the fastest variant.
    fn fastest_fma(&self, half: bool) -> Result<f64> {
        Fma::forms(half)
            .into_iter()
            .try_fold(0.0f64, |most, fma| Ok(most.max(self.multiply_adds(fma)?)))
    }

    /// Operations a second of one variant.
    fn multiply_adds(&self, fma: Fma) -> Result<f64> {
        let invocations = FMA_GROUPS.min(self.gpu.capabilities().max_workgroups) * LANES;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let dst = self.gpu.buffer("sums", u64::from(invocations) * 4, usage)?;
        let params =
            self.gpu.buffer("params", 16, BufferUsages::UNIFORM | BufferUsages::COPY_DST)?;
        let bound = self.bind(Kernel::Fma(fma), &[&params, &dst])?;
        let (rounds, seconds) = self.fastest(|rounds| {
            let (multiplier, addend) = (0.5f32.to_bits(), 1f32.to_bits());
            self.write(
                &params,
                0,
                bytes_of(&FmaParams { invocations, rounds, multiplier, addend }),
            )?;
            self.time(|encoder| dispatch(encoder, &bound, [invocations / LANES, 1, 1], 1))
        })?;
        let sums: Vec<f32> = bytemuck::pod_collect_to_vec(&self.gpu.download(&dst)?);
        match sums.iter().find(|sum| (*sum - 2.0).abs() > 1e-3 || sum.is_nan()) {
            Some(sum) => Err(wrong("multiply-adds", format!("a sum of {sum} instead of 2"))),
            None => Ok((fma.flops_per_round() * u64::from(rounds) * u64::from(invocations)) as f64
                / seconds),
        }
    }

    /// Operations a second of matrix units, if they are used.
    fn matrices(&self) -> Result<Option<f64>> {
        let capabilities = self.gpu.capabilities();
        let Some(lanes) = capabilities.subgroup_size else { return Ok(None) };
        let kernels = all_candidates();
        let is_used = |side: &u32| {
            kernels
                .iter()
                .any(|kernel| kernel.matrix_side == *side && kernel.runs_on(capabilities).is_ok())
        };
        let forms = [8, 16].into_iter().filter(is_used).flat_map(|side| Matrix::forms(side, lanes));
        let mut most: Option<f64> = None;
        for matrix in forms {
            match self.matrix_multiply_adds(matrix) {
                Ok(flops) => most = Some(most.map_or(flops, |most| most.max(flops))),
                // Matrix units are experimental, and nothing else is wrong for that. Who computes
                // with them checks what they compute.
                Err(Error::Gpu(error @ GpuError::Wrong { .. })) => {
                    tracing::warn!("no ceiling for matrix units: {error}")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(most)
    }

    /// Operations a second of one matrix variant.
    fn matrix_multiply_adds(&self, matrix: Matrix) -> Result<f64> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let dst = self.gpu.buffer("sums", u64::from(MATRIX_GROUPS * matrix.values()) * 4, usage)?;
        let params =
            self.gpu.buffer("params", 16, BufferUsages::UNIFORM | BufferUsages::COPY_DST)?;
        let bound = self.bind(Kernel::Matrix(matrix), &[&params, &dst])?;
        let (rounds, seconds) = self.fastest(|rounds| {
            self.write(&params, 0, bytes_of(&MatrixParams { rounds, factor: 1f32.to_bits() }))?;
            self.time(|encoder| dispatch(encoder, &bound, [MATRIX_GROUPS, 1, 1], 1))
        })?;
        let (found, expected) = (
            bytemuck::pod_collect_to_vec::<_, f32>(&self.gpu.download(&dst)?),
            matrix.sums(rounds),
        );
        // All are integers, and each chain's are exact; together they may have more digits than an
        // f32.
        let is_wrong = |(found, expected): &(&f32, &f64)| {
            let off = (f64::from(**found) - **expected).abs();
            off.is_nan() || off > 1e-6 * expected.abs()
        };
        match found.iter().zip(expected.iter().cycle()).find(is_wrong) {
            Some((found, expected)) => {
                Err(wrong("multiply-adds of matrices", format!("{found} instead of {expected}")))
            }
            None => {
                let flops = matrix.flops_per_round() * u64::from(rounds) * u64::from(MATRIX_GROUPS);
                Ok(flops as f64 / seconds)
            }
        }
    }

    /// Bytes read and written a second.
    fn copy(&self) -> Result<f64> {
        let bytes = self.options.copy_bytes.min(self.gpu.capabilities().max_binding_bytes).max(16)
            / 16
            * 16;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let [src, dst] =
            [self.gpu.buffer("source", bytes, usage)?, self.gpu.buffer("copy", bytes, usage)?];
        self.write(&src, bytes - 16, &MARK)?;
        let (vec4s, limit) = (bytes / 16, u64::from(self.gpu.capabilities().max_workgroups));
        let groups = vec4s.div_ceil(VEC4S_PER_GROUP);
        let row_groups = groups.min(limit);
        let workgroups = [row_groups as u32, groups.div_ceil(row_groups) as u32, 1];
        let params = CopyParams { vec4s: vec4s as u32, row_groups: row_groups as u32 };
        let params = self.gpu.buffer_with("params", bytes_of(&params), BufferUsages::UNIFORM)?;
        let bound = self.bind(Kernel::Copy, &[&params, &src, &dst])?;
        let kernel = self.fastest(|copies| {
            self.time(|encoder| dispatch(encoder, &bound, workgroups, copies as usize))
        })?;
        self.check_copy("copying by a kernel", &dst, bytes)?;
        let driver = self.fastest(|copies| {
            self.time(|encoder| {
                (0..copies).for_each(|_| encoder.copy_buffer_to_buffer(&src, 0, &dst, 0, bytes))
            })
        })?;
        self.check_copy("copying by the driver", &dst, bytes)?;
        let speed =
            |(copies, seconds): (u32, f64)| (2 * bytes * u64::from(copies)) as f64 / seconds;
        Ok(speed(kernel).max(speed(driver)))
    }

    /// Checks that the mark was copied, and clears it for the next copy.
    fn check_copy(&self, doing: &'static str, dst: &Buffer, bytes: u64) -> Result<()> {
        let end = self.gpu.buffer("end", 16, BufferUsages::COPY_SRC | BufferUsages::COPY_DST)?;
        self.time(|encoder| encoder.copy_buffer_to_buffer(dst, bytes - 16, &end, 0, 16))?;
        let found = self.gpu.download(&end)?;
        self.write(dst, bytes - 16, &[0; 16])?;
        if found == MARK {
            Ok(())
        } else {
            Err(wrong(doing, format!("{found:?} at the end instead of {MARK:?}")))
        }
    }

    /// The amount of work that takes the minimum duration of a submit, found by doubling it.
    fn amount(&self, run: &mut impl FnMut(u32) -> Result<Duration>) -> Result<u32> {
        let mut amount = 1;
        while run(amount)? < self.options.submit && amount < MOST {
            amount *= 2;
        }
        Ok(amount)
    }

    /// That amount, and the seconds of the fastest submit with it.
    fn fastest(&self, mut run: impl FnMut(u32) -> Result<Duration>) -> Result<(u32, f64)> {
        let amount = self.amount(&mut run)?;
        let mut fastest = run(amount)?;
        for _ in 1..self.options.submits {
            fastest = fastest.min(run(amount)?);
        }
        Ok((amount, fastest.as_secs_f64().max(1e-9)))
    }

    /// The time from submit to the end of the wait.
    fn time(&self, encode: impl FnOnce(&mut CommandEncoder)) -> Result<Duration> {
        let inner = &self.gpu.inner;
        let commands = inner.monitor.guarded(&inner.device, "recording", || {
            let descriptor = CommandEncoderDescriptor { label: Some("ceilings") };
            let mut encoder = inner.device.create_command_encoder(&descriptor);
            encode(&mut encoder);
            encoder.finish()
        })?;
        let start = Instant::now();
        inner.monitor.guarded(&inner.device, "measuring", || inner.queue.submit([commands]))?;
        self.gpu.wait()?;
        Ok(start.elapsed())
    }

    /// Writes into a buffer before the next submit.
    fn write(&self, buffer: &Buffer, at: u64, bytes: &[u8]) -> Result<()> {
        let inner = &self.gpu.inner;
        Ok(inner
            .monitor
            .guarded(&inner.device, "uploading", || inner.queue.write_buffer(buffer, at, bytes))?)
    }

    /// Compiles a kernel and binds buffers to the bindings 0, 1, 2, ...
    fn bind(&self, kernel: Kernel, buffers: &[&Buffer]) -> Result<Bound> {
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

/// Repeats the same dispatch in one pass.
fn dispatch(encoder: &mut CommandEncoder, bound: &Bound, [x, y, z]: [u32; 3], times: usize) {
    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
    pass.set_pipeline(&bound.pipeline.pipeline);
    pass.set_bind_group(0, &bound.group, &[]);
    (0..times).for_each(|_| pass.dispatch_workgroups(x, y, z));
}

fn wrong(doing: &'static str, reason: String) -> Error {
    GpuError::Wrong { doing, reason }.into()
}
