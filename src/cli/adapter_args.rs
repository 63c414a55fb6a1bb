//! The argument that selects the adapter, and the devices that are opened for it.

use std::num::NonZero;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use wgpu_bottleneck::gpu::AdapterChoice;
use wgpu_bottleneck::kernel::DeviceKind;
use wgpu_bottleneck::{Gpu, GpuOptions};

use super::error::CliError;

/// Which adapter.
#[derive(Debug, Clone, Args)]
pub struct AdapterArgs {
    /// The adapter: part of its name, driver or backend, or its index in `bottleneck devices`.
    #[arg(long, value_name = "A", value_parser = NonEmptyStringValueParser::new())]
    pub adapter: Option<String>,
}

impl AdapterArgs {
    /// Opens the requested device; by default, the best one. Kernels that its driver did not
    /// compile in earlier runs are left out.
    pub fn gpu(&self) -> Result<Gpu, CliError> {
        let adapter = self.adapter.as_deref().map_or(AdapterChoice::Best, AdapterChoice::parse);
        let options = GpuOptions { adapter, matrices: true, ..Default::default() };
        let gpu = Gpu::with_options(&options)?;
        Ok(match gpu.default_pipelines_path() {
            Some(file) => gpu.without_refused(&file),
            None => gpu,
        })
    }

    /// Opens one device per core of a software adapter, up to [`MOST_DEVICES`], because a software
    /// driver compiles on one thread per device. Opens one device of any other adapter.
    pub fn gpus(&self) -> Result<Vec<Gpu>, CliError> {
        let first = self.gpu()?;
        let software = first.capabilities().kind == DeviceKind::Software;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let count = if software { cores.min(MOST_DEVICES) } else { 1 };
        let mut gpus = vec![first];
        for _ in 1..count {
            gpus.push(self.gpu()?);
        }
        Ok(gpus)
    }

    /// Opens the device for commands that often run the same kernels: compiled kernels are kept in
    /// the user's cache directory, if the device supports that.
    pub fn gpu_with_kept_pipelines(&self) -> Result<Gpu, CliError> {
        let gpu = self.gpu()?;
        if let Some(file) = gpu.default_pipelines_path() {
            gpu.keep_pipelines(&file)?;
        }
        Ok(gpu)
    }
}

/// The largest number of devices of one software adapter. Each starts a worker thread per core, so
/// more devices would compete for the cores.
const MOST_DEVICES: usize = 8;
