//! Opens devices.

use std::sync::Arc;

use wgpu::{Adapter, AdapterInfo, DeviceDescriptor, ExperimentalFeatures, Features, Limits};

use super::Gpu;
use super::adapter::{self, adapters_async};
use super::adapter_info::{describe, hidden_adapters, is_software};
use super::contain::contain_async;
use super::monitor::Monitor;
use super::options::{GpuOptions, LimitsChoice, Opened};
use crate::error::{GpuError, Result};

impl Gpu {
    /// Opens the best adapter, as described at
    /// [`AdapterChoice::Best`](super::AdapterChoice::Best). Logs a warning if it is software.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::NoDevice`], [`GpuError::Environment`],
    /// [`GpuError::Lost`].
    pub fn new() -> Result<Self> {
        Self::with_options(&GpuOptions::default())
    }

    /// Opens a device with these options. Never falls back to another adapter.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    pub fn with_options(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::with_options_async(options))
    }

    /// [`Gpu::with_options`] for async callers.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    pub async fn with_options_async(options: &GpuOptions) -> Result<Self> {
        let adapter = adapter::choose(&options.adapter).await?;
        let info = adapter.get_info();
        if is_software(&info) {
            tracing::warn!(
                "{} computes on the CPU: results are correct, but slow; {}",
                info.name,
                hidden_adapters()
            );
        }
        Self::open(adapter, options).await
    }

    /// Opens a device of this adapter.
    async fn open(adapter: Adapter, options: &GpuOptions) -> Result<Self> {
        let info = adapter.get_info();
        let (required_features, required_limits) = match options.limits {
            LimitsChoice::Adapter => adapter::required(&adapter),
            LimitsChoice::Core => (Features::empty(), Limits::default()),
        };
        // Without half precision, matrices of it are useless.
        let matrices = options.matrices
            && required_features.contains(Features::SHADER_F16 | Features::SUBGROUP);
        let sides = if matrices { adapter::matrix_sides(&adapter) } else { [false; 2] };
        let mut descriptor = DeviceDescriptor {
            label: Some("wgpu-bottleneck"),
            required_features,
            required_limits,
            ..Default::default()
        };
        if sides.contains(&true) {
            descriptor.required_features |= Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            // SAFETY: the caller requested this, and the documentation repeats wgpu's warning. The
            // kernels load and store matrices within arrays of the same size.
            descriptor.experimental_features = unsafe { ExperimentalFeatures::enabled() };
        }
        // wgpu creates the device before it returns the future.
        let request = async { adapter.request_device(&descriptor).await };
        let requested = contain_async("making a device", request).await;
        let made = requested.and_then(|made| made.map_err(|error| error.to_string()));
        let (device, queue) = match made {
            Ok(made) => made,
            Err(reason) => {
                let (adapter, others) = (describe(&info), others(&info).await);
                return Err(GpuError::NoDevice { adapter, reason, others }.into());
            }
        };
        let monitor = Monitor::install(&device, &queue, info.backend);
        monitor.check_alive(&device)?;
        let mut gpu = Self::assemble(device, queue, info, monitor, options.runtime_checks, sides);
        if let Some(inner) = Arc::get_mut(&mut gpu.inner) {
            inner.opened = Some(Opened { adapter, options: options.clone() });
        }
        Ok(gpu)
    }

    /// A fresh device of the same adapter with the same options; `None` if this one is borrowed.
    pub(super) fn reopened(&self) -> Option<Result<Self>> {
        let Opened { adapter, options } = self.inner.opened.as_ref()?;
        Some(pollster::block_on(Self::open(adapter.clone(), options)))
    }
}

/// The adapters other than this one, each with its index in [`adapters_async`].
async fn others(info: &AdapterInfo) -> Vec<String> {
    let all: Vec<_> =
        adapters_async().await.unwrap_or_default().iter().map(Adapter::get_info).collect();
    let others = all.iter().enumerate().filter(|(_, other)| *other != info);
    others.map(|(index, other)| format!("{index}: {}", describe(other))).collect()
}
