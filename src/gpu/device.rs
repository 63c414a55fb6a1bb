//! A device with the state that lives as long as it: the monitor and the compiled pipelines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use wgpu::{
    Adapter, AdapterInfo, Device, DeviceDescriptor, ExperimentalFeatures, Features, Limits, Queue,
};

use super::adapter::{self, AdapterChoice};
use super::contain::contain_async;
use super::kept_pipelines::KeptPipelines;
use super::monitor::Monitor;
use super::pipeline::Pipeline;
use super::{adapter_info, user_cache};
use crate::error::{GpuError, Result};
use crate::kernel::{Capabilities, DeviceKind, Kernel};
use crate::shader::Patch;

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

/// A GPU: device, queue and compiled kernels. Cloning is cheap and shares all of it.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub device: Device,
    pub queue: Queue,
    pub monitor: Monitor,
    info: AdapterInfo,
    capabilities: Capabilities,
    runtime_checks: bool,
    /// Faults to compile the kernels with; empty except in tests of the self test.
    pub patches: Vec<Patch>,
    /// The kernels compiled so far.
    pub pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    /// The file that pipelines are cached in, once there is one.
    pub kept_pipelines: OnceLock<KeptPipelines>,
}

impl Drop for Inner {
    /// Detects a loss that no call has reported, so that the lost device is not dropped.
    fn drop(&mut self) {
        if !self.monitor.is_passive() {
            let _ = self.monitor.check_alive(&self.device);
        }
    }
}

impl Gpu {
    /// Opens the best adapter, as described at [`AdapterChoice::Best`]. Logs a warning if it is
    /// software.
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
        if adapter_info::is_software(&info) {
            tracing::warn!("{} computes on the CPU: results are correct, but slow", info.name);
        }
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
        let no_device =
            |reason| GpuError::NoDevice { adapter: adapter_info::describe(&info), reason };
        // wgpu creates the device before it returns the future.
        let request = async { adapter.request_device(&descriptor).await };
        let requested = contain_async("making a device", request).await;
        let (device, queue) =
            requested.map_err(no_device)?.map_err(|error| no_device(error.to_string()))?;
        let monitor = Monitor::install(&device, &queue, info.backend);
        monitor.check_alive(&device)?;
        Ok(Self::assemble(device, queue, info, monitor, options.runtime_checks, sides))
    }

    /// Wraps the device of an app. Its error handler and lost callback are not replaced. Create the
    /// device with at least the result of [`required`](super::required) to get the adapter's full
    /// buffer sizes. Once the device is lost, or the app has destroyed it, every call that needs it
    /// returns [`GpuError::Lost`].
    #[must_use]
    pub fn from_wgpu(device: Device, queue: Queue) -> Self {
        Self::from_wgpu_with(device, queue, false)
    }

    /// [`Gpu::from_wgpu`] with a choice of [`GpuOptions::runtime_checks`].
    #[must_use]
    pub fn from_wgpu_with(device: Device, queue: Queue, runtime_checks: bool) -> Self {
        let info = device.adapter_info();
        let monitor = Monitor::borrowed(&device, &queue, info.backend);
        Self::assemble(device, queue, info, monitor, runtime_checks, [false; 2])
    }

    /// [`Gpu::from_wgpu`] for a device that was created with `EXPERIMENTAL_COOPERATIVE_MATRIX` on
    /// this adapter: computations in half precision use matrix units. **Experimental**, see
    /// [`GpuOptions::matrices`].
    #[must_use]
    pub fn from_wgpu_with_matrices(adapter: &Adapter, device: Device, queue: Queue) -> Self {
        let info = device.adapter_info();
        let monitor = Monitor::borrowed(&device, &queue, info.backend);
        // Another adapter may offer what this device lacks.
        let has = adapter.get_info() == info
            && device.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        let sides = if has { adapter::matrix_sides(adapter) } else { [false; 2] };
        Self::assemble(device, queue, info, monitor, false, sides)
    }

    /// The same device with other capabilities: for tests of kernels that its driver can run,
    /// although it does not report the capability. Kernels are compiled again.
    ///
    /// # Safety
    /// The driver must be able to run everything that the capabilities allow.
    #[must_use]
    pub unsafe fn with_capabilities(&self, capabilities: Capabilities) -> Self {
        let Inner { device, queue, monitor, info, runtime_checks, patches, .. } = &*self.inner;
        let (device, queue, monitor, info) =
            (device.clone(), queue.clone(), monitor.clone(), info.clone());
        let mut gpu = Self::assemble(device, queue, info, monitor, *runtime_checks, [false; 2]);
        if let Some(inner) = Arc::get_mut(&mut gpu.inner) {
            inner.capabilities = capabilities;
            inner.patches.clone_from(patches);
        }
        gpu
    }

    fn assemble(
        device: Device,
        queue: Queue,
        info: AdapterInfo,
        monitor: Monitor,
        runtime_checks: bool,
        [matrices_of_8, matrices_of_16]: [bool; 2],
    ) -> Self {
        let capabilities = capabilities(&device.limits(), device.features(), &info);
        let capabilities = Capabilities { matrices_of_8, matrices_of_16, ..capabilities };
        let (patches, pipelines, kept_pipelines) = (Vec::new(), Mutex::default(), OnceLock::new());
        Self {
            inner: Arc::new(Inner {
                device,
                queue,
                monitor,
                info,
                capabilities,
                runtime_checks,
                patches,
                pipelines,
                kept_pipelines,
            }),
        }
    }

    /// The same device with faults in its kernels: for proving that a self test finds them. Kernels
    /// are compiled again, and always with wgpu's runtime checks, so that no fault accesses memory
    /// that is not bound.
    ///
    /// # Errors
    /// [`GpuError::Patch`] if a patch does not match its file.
    pub fn with_patches(&self, patches: &[Patch]) -> Result<Self> {
        patches.iter().try_for_each(Patch::check).map_err(GpuError::from)?;
        let Inner { device, queue, monitor, info, capabilities, .. } = &*self.inner;
        let (device, queue, monitor, info) =
            (device.clone(), queue.clone(), monitor.clone(), info.clone());
        let inner = Inner {
            device,
            queue,
            monitor,
            info,
            capabilities: *capabilities,
            runtime_checks: true,
            patches: patches.to_vec(),
            pipelines: Mutex::default(),
            // Prevents that faulty kernels are stored in the cache file.
            kept_pipelines: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether an app owns the device ([`Gpu::from_wgpu`]).
    #[must_use]
    pub fn is_borrowed(&self) -> bool {
        self.inner.monitor.is_passive()
    }

    /// wgpu's device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// wgpu's queue.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// The adapter information that the driver reports.
    #[must_use]
    pub fn info(&self) -> &AdapterInfo {
        &self.inner.info
    }

    /// One line to display: name, backend, kind, driver.
    #[must_use]
    pub fn describe(&self) -> String {
        adapter_info::describe(&self.inner.info)
    }

    /// Whether kernels are compiled with wgpu's bounds checks and loop guards.
    #[must_use]
    pub fn runtime_checks(&self) -> bool {
        self.inner.runtime_checks
    }

    /// The capabilities on which the choice of kernels depends.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// Waits until all work submitted to the device is done.
    ///
    /// # Errors
    /// [`GpuError::Lost`], or any error of the device.
    pub fn wait(&self) -> Result<()> {
        Ok(self.inner.monitor.wait(&self.inner.device)?)
    }

    /// Caches compiled pipelines in a file. Its contents are used from now on, and each load that
    /// compiles a kernel rewrites it. Returns whether the device supports this: Vulkan does, with
    /// `Features::PIPELINE_CACHE`, which [`required`](super::required) requests. Only the first
    /// file is used. A file that is missing, damaged, or from another device or driver counts as
    /// empty and is safe to delete; problems are logged.
    ///
    /// The device executes the contents of the file, so it must be in a folder that nobody else can
    /// write to. On Unix, a file whose owner is not the effective user counts as empty.
    ///
    /// # Errors
    /// [`GpuError::Lost`], or any error of the device.
    pub fn keep_pipelines(&self, file: &Path) -> Result<bool, GpuError> {
        let Inner { device, monitor, kept_pipelines, .. } = &*self.inner;
        if kept_pipelines.get().is_some() || !device.features().contains(Features::PIPELINE_CACHE) {
            return Ok(false);
        }
        Ok(kept_pipelines.set(KeptPipelines::open(device, monitor, file)?).is_ok())
    }

    /// A path for [`Gpu::keep_pipelines`] in the user's cache directory: one file per device, API
    /// and driver. `None` if the environment defines no such directory.
    #[must_use]
    pub fn default_pipelines_path(&self) -> Option<PathBuf> {
        let checks = if self.runtime_checks() { " with runtime checks" } else { "" };
        let name = user_cache::file_name(&format!("{}{checks}", self.describe()), "bin");
        Some(user_cache::folder("pipelines")?.join(name))
    }
}

/// The part of limits and adapter info that kernels depend on.
fn capabilities(limits: &Limits, features: Features, info: &AdapterInfo) -> Capabilities {
    let subgroup_size =
        adapter_info::subgroup_size(info).filter(|_| features.contains(Features::SUBGROUP));
    Capabilities {
        max_binding_bytes: limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(Capabilities::MAX_BINDING_BYTES),
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroup_x: limits.max_compute_workgroup_size_x,
        max_workgroup_y: limits.max_compute_workgroup_size_y,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_texture_side: limits.max_texture_dimension_2d,
        subgroup_size,
        int64: features.contains(Features::SHADER_INT64),
        f16: features.contains(Features::SHADER_F16),
        matrices_of_8: false,
        matrices_of_16: false,
        kind: match info.device_type {
            _ if adapter_info::is_software(info) => DeviceKind::Software,
            wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
            _ => DeviceKind::Discrete,
        },
    }
}
