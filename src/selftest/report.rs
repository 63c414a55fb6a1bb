//! What a self test says in the end.

use serde::{Serialize, Serializer};

use crate::gpu::{Gpu, is_software};
use crate::kernel::Family;

/// What is checked of a kernel on a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The driver compiles it.
    Compile,
    /// The device reports no error while it runs.
    Run,
    /// Its numbers are the reference's to the bit (-0 counts as 0).
    Exact,
    /// NaN and infinities come out where the reference has them.
    NonFinite,
    /// Padding channels are written as zeros.
    Padding,
    /// Nothing is written behind the end of a tensor.
    Guard,
    /// The inputs are not modified.
    Input,
    /// A second run gives the same bits.
    Repeat,
}

impl Check {
    /// What is wrong where it fails, in a few words.
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
    /// What should be there.
    pub expected: String,
    /// What is there.
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
    /// What was found.
    pub what: String,
    /// The first wrong value, where values are compared.
    pub first: Option<First>,
}

fn by_name<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(family.name())
}

/// A failure that is expected of this driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownFailure {
    /// What failed.
    pub failure: Failure,
    /// Why that is known.
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
    /// The driver's version, as it says it.
    pub driver_info: String,
    /// Whether it computes on the CPU.
    pub software: bool,
    /// The size of every subgroup, where kernels may use them.
    pub subgroup_size: Option<u32>,
    /// Whether kernels were compiled with wgpu's runtime checks.
    pub runtime_checks: bool,
}

impl Device {
    /// What a device says of itself.
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
    /// The mutant that was loaded on purpose.
    pub mutant: Option<&'static str>,
    /// The kernels that were checked.
    pub kernels: Vec<String>,
    /// The kernels that were not, and why.
    pub skipped: Vec<Skipped>,
    /// Runs of a kernel on a case.
    pub cases: usize,
    /// Single checks.
    pub checks: usize,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What failed as it was expected to.
    pub known: Vec<KnownFailure>,
    /// Known bugs of this driver that were not met: their reasons.
    pub no_longer_seen: Vec<&'static str>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether nothing failed but what is known to.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}
