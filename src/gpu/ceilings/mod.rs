//! Measures the peak performance of a device, to rate a kernel's speed as a share of it.
//!
//! Everything is timed from submit to the end of the wait, with enough work in one submit that its
//! overhead is negligible. The fastest of several submits is the ceiling, since any other load on
//! the machine can only slow a submit down. The kernels' results are checked, so that a driver that
//! skips work does not appear fast.

mod bench;
mod copies;
mod dispatches;
mod kernels;
mod multiply_adds;

use serde::{Deserialize, Serialize};
use wgpu::Features;

use self::bench::Bench;
pub use self::bench::CeilingOptions;
use self::dispatches::Dispatches;
pub use self::kernels::ceiling_kernels;
use super::Gpu;
use crate::error::Result;
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

impl Ceilings {
    /// Measures a device.
    ///
    /// # Errors
    /// [`GpuError::Wrong`](crate::error::GpuError::Wrong) if a result is wrong, or if the host's
    /// clock stands still or runs backwards;
    /// [`GpuError::OutOfMemory`](crate::error::GpuError::OutOfMemory),
    /// [`GpuError::Lost`](crate::error::GpuError::Lost), or any error of the device.
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
