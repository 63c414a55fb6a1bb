//! How a device is opened.

use wgpu::Adapter;

use super::adapter::AdapterChoice;

/// Which limits a device is created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimitsChoice {
    /// The limits of [`required`](super::required): the adapter's own for buffers and compute.
    #[default]
    Adapter,
    /// WebGPU's core limits, the minimum of every WebGPU device: for tests.
    Core,
}

/// Options for creating a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GpuOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// Which limits.
    pub limits: LimitsChoice,
    /// Whether shaders are compiled with wgpu's bounds checks and loop guards. Off by default: the
    /// kernels clamp every index themselves, and buffers are checked to be large enough when they
    /// are bound.
    pub runtime_checks: bool,
    /// Whether computations in half precision use matrix units, if the adapter has them. Off by
    /// default: this needs wgpu's experimental feature `EXPERIMENTAL_COOPERATIVE_MATRIX`, which
    /// according to wgpu may contain bugs, including undefined behaviour. **Experimental**: this
    /// option may change or disappear without a new major version.
    pub matrices: bool,
}

/// How a device of this crate was opened.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub adapter: Adapter,
    pub options: GpuOptions,
}
