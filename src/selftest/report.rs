//! The result of a self test.

use serde::{Serialize, Serializer};

use crate::gpu::{Gpu, is_software};
use crate::kernel::Family;

/// A check of a kernel on a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The driver compiles it.
    Compile,
    /// The device reports no error while it runs.
    Run,
    /// The output is bit-identical to the reference (-0 counts as 0).
    Exact,
    /// NaN and infinities are where the reference has them.
    NonFinite,
    /// Padding channels are written as zeros.
    Padding,
    /// Nothing is written beyond the end of a tensor.
    Guard,
    /// The inputs are not modified.
    Input,
    /// A second run gives bit-identical results.
    Repeat,
}

impl Check {
    /// A short description of its failure.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compile => "does not compile",
            Self::Run => "device error",
            Self::Exact => "wrong numbers",
            Self::NonFinite => "NaN or infinity",
            Self::Padding => "channel padding",
            Self::Guard => "guard band",
            Self::Input => "input modified",
            Self::Repeat => "second run differs",
        }
    }
}

/// The first wrong value. The values are text, since JSON has neither NaN nor infinities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct First {
    /// Image, channel, row and column.
    pub at: [usize; 4],
    /// The expected value.
    pub expected: String,
    /// The value found.
    pub found: String,
}

impl First {
    pub(super) fn new(at: [usize; 4], expected: f32, found: f32) -> Self {
        Self { at, expected: expected.to_string(), found: found.to_string() }
    }
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The kernel.
    pub kernel: String,
    /// The kernel's family.
    #[serde(serialize_with = "by_name")]
    pub family: Family,
    /// The case.
    pub case: &'static str,
    /// What failed.
    pub check: Check,
    /// A description of the failure.
    pub what: String,
    /// The first wrong value, if values are compared.
    pub first: Option<First>,
}

fn by_name<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(family.name())
}

/// A failure that is expected of this driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownFailure {
    /// The failure.
    pub failure: Failure,
    /// Why it is expected.
    pub reason: &'static str,
}

/// A kernel that this device cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The kernel.
    pub kernel: String,
    /// What it needs.
    pub reason: String,
}

/// The device and its driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// The device's name.
    pub name: String,
    /// wgpu's name of the API: `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: &'static str,
    /// The driver's name.
    pub driver: String,
    /// The driver's version, as the driver reports it.
    pub driver_info: String,
    /// Whether it computes on the CPU.
    pub software: bool,
    /// The size of every subgroup, if kernels may use subgroups.
    pub subgroup_size: Option<u32>,
    /// Whether kernels were compiled with wgpu's runtime checks.
    pub runtime_checks: bool,
}

impl Device {
    /// The device as it describes itself.
    #[must_use]
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            software: is_software(info),
            subgroup_size: gpu.capabilities().subgroup_size,
            runtime_checks: gpu.runtime_checks(),
        }
    }
}

/// The outcome of a self test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// This crate's version.
    pub version: &'static str,
    /// The device.
    pub device: Device,
    /// The mutant that was loaded.
    pub mutant: Option<&'static str>,
    /// The kernels that were checked.
    pub kernels: Vec<String>,
    /// The kernels that were skipped, and why.
    pub skipped: Vec<Skipped>,
    /// Number of runs of a kernel on a case.
    pub cases: usize,
    /// Number of individual checks.
    pub checks: usize,
    /// The unexpected failures.
    pub failures: Vec<Failure>,
    /// The expected failures.
    pub known: Vec<KnownFailure>,
    /// Reasons of known bugs of this driver that did not occur.
    pub no_longer_seen: Vec<&'static str>,
    /// Duration in seconds.
    pub seconds: f64,
}

impl Report {
    /// Whether there are no failures except known ones.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}
