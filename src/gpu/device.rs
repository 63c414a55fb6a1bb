//! A device with the state that lives as long as it: the monitor and the compiled pipelines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use wgpu::{Adapter, AdapterInfo, Device, Features, Limits, Queue};

use super::adapter;
use super::kept_pipelines::KeptPipelines;
use super::measured_rate::MeasuredRate;
use super::monitor::Monitor;
use super::options::Opened;
use super::pipeline::Pipeline;
use super::proof::{self, NUMBER_BYTES, Proof};
use super::{adapter_info, user_cache};
use crate::error::{GpuError, Result};
use crate::kernel::{Capabilities, Chip, DeviceKind, Kernel};
use crate::plan::ASSUMED_RATE;
use crate::shader::Patch;

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
    pub capabilities: Capabilities,
    runtime_checks: bool,
    /// Whether every command buffer must change the number of its run, even within one submit.
    pub proves_every: bool,
    /// The kernel that counts numbers of runs up, if every command buffer must.
    pub counting: OnceLock<Arc<Pipeline>>,
    /// The rate of runs.
    pub rate: MeasuredRate,
    /// For submits without separate buffers for their numbers; locked from the write of a number
    /// to its submit.
    pub proof: Mutex<Option<Arc<Proof>>>,
    /// Faults to compile the kernels with; empty except in tests of the self test.
    pub patches: Vec<Patch>,
    /// How the device was opened; `None` if it is borrowed.
    pub opened: Option<Opened>,
    /// The kernels compiled so far.
    pub pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    /// The file that pipelines are cached in, once there is one.
    pub kept_pipelines: OnceLock<KeptPipelines>,
    /// The path of that file, also if the device does not support such files.
    pub kept_path: OnceLock<PathBuf>,
}

impl Drop for Inner {
    /// Detects a loss that no call has reported, so that the lost device is not dropped, and waits
    /// for its last work.
    fn drop(&mut self) {
        if !self.monitor.is_passive() {
            let _ = self.monitor.check_alive(&self.device);
            self.monitor.finish_last_work(&self.device);
        }
    }
}

impl Gpu {
    /// Wraps the device of an app. Its error handler and lost callback are not replaced. Create the
    /// device with at least the result of [`required`](super::required) to get the adapter's full
    /// buffer sizes. Once the device is lost, or the app has destroyed it, every call that needs it
    /// returns [`GpuError::Lost`].
    #[must_use]
    pub fn from_wgpu(device: Device, queue: Queue) -> Self {
        Self::from_wgpu_with(device, queue, false)
    }

    /// [`Gpu::from_wgpu`] with a choice of
    /// [`GpuOptions::runtime_checks`](super::GpuOptions::runtime_checks).
    #[must_use]
    pub fn from_wgpu_with(device: Device, queue: Queue, runtime_checks: bool) -> Self {
        let info = device.adapter_info();
        let monitor = Monitor::borrowed(&device, &queue, info.backend);
        Self::assemble(device, queue, info, monitor, runtime_checks, [false; 2])
    }

    /// [`Gpu::from_wgpu`] for a device that was created with `EXPERIMENTAL_COOPERATIVE_MATRIX` on
    /// this adapter: computations in half precision use matrix units. **Experimental**, see
    /// [`GpuOptions::matrices`](super::GpuOptions::matrices).
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

    pub(super) fn assemble(
        device: Device,
        queue: Queue,
        info: AdapterInfo,
        monitor: Monitor,
        runtime_checks: bool,
        [matrices_of_8, matrices_of_16]: [bool; 2],
    ) -> Self {
        let capabilities = capabilities(&device.limits(), device.features(), &info);
        let proves_every = proof::proves_every(info.backend);
        let capabilities = Capabilities { matrices_of_8, matrices_of_16, ..capabilities };
        Self {
            inner: Arc::new(Inner {
                device,
                queue,
                monitor,
                info,
                capabilities,
                runtime_checks,
                proves_every,
                counting: OnceLock::new(),
                rate: MeasuredRate::default(),
                proof: Mutex::default(),
                patches: Vec::new(),
                opened: None,
                pipelines: Mutex::default(),
                kept_pipelines: OnceLock::new(),
                kept_path: OnceLock::new(),
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
            proves_every: self.inner.proves_every,
            counting: OnceLock::new(),
            rate: MeasuredRate::default(),
            proof: Mutex::default(),
            patches: patches.to_vec(),
            opened: None,
            pipelines: Mutex::default(),
            // Prevents that faulty kernels are stored in the cache file.
            kept_pipelines: OnceLock::new(),
            kept_path: OnceLock::new(),
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

    /// Makes calls of wgpu on this device, such as `gpu.queue().submit(...)`, and returns their
    /// errors: the error scopes of this thread catch them, and a panic of wgpu counts as the loss
    /// of the device. Without it, an error reaches wgpu's handler, which panics on a device of an
    /// app, and wgpu panics in some calls if memory is short. `doing` is part of the message:
    /// "wgpu failed while submitting".
    ///
    /// # Errors
    /// [`GpuError::Lost`], or any error of the calls.
    pub fn guarded<T>(
        &self,
        doing: &'static str,
        calls: impl FnOnce() -> T,
    ) -> Result<T, GpuError> {
        self.inner.monitor.guarded(&self.inner.device, doing, calls)
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
        let Inner { device, monitor, kept_pipelines, kept_path, .. } = &*self.inner;
        let _ = kept_path.set(file.to_owned());
        if kept_pipelines.get().is_some() || !device.features().contains(Features::PIPELINE_CACHE) {
            return Ok(false);
        }
        Ok(kept_pipelines.set(KeptPipelines::open(device, monitor, file)?).is_ok())
    }

    /// A path for [`Gpu::keep_pipelines`] in the user's cache directory: one file per device, API
    /// and driver. `None` if the environment defines no such directory.
    #[must_use]
    pub fn default_pipelines_path(&self) -> Option<PathBuf> {
        default_pipelines_path(self.info(), self.runtime_checks())
    }
}

/// [`Gpu::default_pipelines_path`] of a device of this adapter, compiled with or without
/// [`GpuOptions::runtime_checks`](super::GpuOptions::runtime_checks).
#[must_use]
pub fn default_pipelines_path(info: &AdapterInfo, runtime_checks: bool) -> Option<PathBuf> {
    let checks = if runtime_checks { " with runtime checks" } else { "" };
    let name = user_cache::file_name(&format!("{}{checks}", adapter_info::describe(info)), "bin");
    Some(user_cache::folder("pipelines")?.join(name))
}

/// The part of limits and adapter info that kernels depend on.
fn capabilities(limits: &Limits, features: Features, info: &AdapterInfo) -> Capabilities {
    let subgroup_size =
        adapter_info::subgroup_size(info).filter(|_| features.contains(Features::SUBGROUP));
    Capabilities {
        max_binding_bytes: limits
            .max_storage_buffer_binding_size
            // A staging buffer also holds the number of its run.
            .min(limits.max_buffer_size.saturating_sub(2 * NUMBER_BYTES))
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
        chip: Chip::of(info.vendor, info.device, &info.name),
        watched_rate: adapter_info::has_watchdog(info).then_some(ASSUMED_RATE),
        refused: &[],
    }
}
