//! Measurements, as data and as text.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::error::TuningError;
use crate::gpu::Gpu;
use crate::kernel::Measured;
use crate::plan::KernelChoice;

/// The prefix of every table's schema.
const KIND: &str = "wgpu-bottleneck tuning ";
/// The name of the schema. It changes when a member changes its meaning or is removed.
const SCHEMA: &str = "wgpu-bottleneck tuning 1";

/// The times of kernels on one device, by shape. JSON with one line per shape. It affects only
/// speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuningTable {
    schema: String,
    version: String,
    device: TunedDevice,
    shapes: Vec<TunedShape>,
}

/// The device and driver of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TunedDevice {
    /// The device's name.
    pub name: String,
    /// wgpu's name of the API: `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Whether kernels were compiled with wgpu's runtime checks, which slow them down unequally.
    pub runtime_checks: bool,
}

/// The results for one shape: every candidate with correct output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunedShape {
    /// The problem, as formatted by its `Display`.
    pub shape: String,
    /// The kernel that the ranking rule picks.
    pub rule: String,
    /// The clock that was used.
    pub clock: Clock,
    /// The candidates, fastest first.
    pub candidates: Vec<TunedKernel>,
}

/// The time of a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunedKernel {
    /// Its name.
    pub kernel: String,
    /// Microseconds for the whole step: the lower quartile of its runs.
    pub us: f64,
}

/// A clock for measuring times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Timestamps on the GPU: from the start of a step's first dispatch to the end of its last.
    Gpu,
    /// The clock of the host: submit and wait, without recording.
    Host,
}

impl TunedDevice {
    /// The device as it describes itself.
    #[must_use]
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str().to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            runtime_checks: gpu.runtime_checks(),
        }
    }
}

impl std::fmt::Display for TunedDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, backend, driver, runtime_checks } = self;
        let checks = if *runtime_checks { ", with runtime checks" } else { "" };
        write!(f, "{name} ({backend}, {driver}{checks})")
    }
}

impl TunedShape {
    /// The time of the rule's pick divided by the best; `None` if the pick was not timed because
    /// its output was wrong.
    #[must_use]
    pub fn behind(&self) -> Option<f64> {
        let pick = self.candidates.iter().find(|candidate| candidate.kernel == self.rule)?;
        Some(pick.us / self.candidates.first()?.us)
    }

    /// Whether there is at least one time, all are valid, and the fastest comes first.
    fn is_sound(&self) -> bool {
        let sound = |kernel: &TunedKernel| kernel.us.is_finite() && kernel.us > 0.0;
        let sorted = self.candidates.is_sorted_by(|a, b| a.us <= b.us);
        !self.candidates.is_empty() && sorted && self.candidates.iter().all(sound)
    }
}

impl TuningTable {
    /// A table without any shapes.
    #[must_use]
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: TunedDevice::of(gpu),
            shapes: Vec::new(),
        }
    }

    /// The measurements by shape.
    #[must_use]
    pub fn shapes(&self) -> &[TunedShape] {
        &self.shapes
    }

    /// The device of the table.
    #[must_use]
    pub fn device(&self) -> &TunedDevice {
        &self.device
    }

    /// Adds a shape, replacing an earlier entry for it.
    pub fn insert(&mut self, shape: TunedShape) {
        match self.shapes.iter_mut().find(|known| known.shape == shape.shape) {
            Some(known) => *known = shape,
            None => self.shapes.push(shape),
        }
    }

    /// The value for [`LoadOptions::kernels`](crate::LoadOptions::kernels): the fastest candidate
    /// for each of these shapes. Unknown kernel names are ignored.
    #[must_use]
    pub fn kernels(&self) -> KernelChoice {
        let names = |shape: &TunedShape| {
            shape.candidates.iter().map(|candidate| candidate.kernel.clone()).collect()
        };
        KernelChoice::Measured(
            self.shapes
                .iter()
                .map(|shape| (shape.shape.clone(), names(shape)))
                .collect::<Measured>(),
        )
    }

    /// The table as JSON, one line per shape.
    #[must_use]
    pub fn to_json(&self) -> String {
        let line = |value: serde_json::Result<String>| value.unwrap_or_else(|_| "null".to_owned());
        let Self { schema, version, device, shapes } = self;
        let [schema, version] = [schema, version].map(|text| line(serde_json::to_string(text)));
        let device = line(serde_json::to_string(device));
        let mut text = format!(
            "{{\n\"schema\": {schema},\n\"version\": {version},\n\"device\": \
            {device},\n\"shapes\": ["
        );
        for (at, shape) in shapes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}\n{}", line(serde_json::to_string(shape)));
        }
        text + "\n]\n}\n"
    }

    /// Parses a table for this device and this version of the crate. Shapes with invalid times are
    /// dropped.
    ///
    /// # Errors
    /// A [`TuningError`] that describes the difference.
    pub fn parse(json: &str, gpu: &Gpu) -> Result<Self, TuningError> {
        Self::parse_like(json, &Self::new(gpu))
    }

    /// [`TuningTable::parse`] for the device and version of another table. For fuzz targets.
    #[doc(hidden)]
    pub fn parse_like(json: &str, here: &Self) -> Result<Self, TuningError> {
        let not_a_table =
            |error: serde_json::Error| TuningError::NotATable { reason: error.to_string() };
        // What another version wrote may have other members: its name comes first.
        let value: serde_json::Value = serde_json::from_str(json).map_err(not_a_table)?;
        let text = |name: &str| {
            value.get(name).and_then(serde_json::Value::as_str).unwrap_or("none").to_owned()
        };
        let names = |schema: &str, version: &str| format!("schema \"{schema}\", version {version}");
        let (schema, version) = (text("schema"), text("version"));
        if !schema.starts_with(KIND) {
            return Err(TuningError::NotATable { reason: format!("its schema is \"{schema}\"") });
        }
        if (&schema, &version) != (&here.schema, &here.version) {
            let (found, expected) = (names(&schema, &version), names(&here.schema, &here.version));
            return Err(TuningError::OtherVersion { found, expected });
        }
        let mut table: Self = serde_json::from_value(value).map_err(not_a_table)?;
        if table.device != here.device {
            let (found, expected) = (table.device.to_string(), here.device.to_string());
            return Err(TuningError::OtherDevice { found, expected });
        }
        table.shapes.retain(TunedShape::is_sound);
        Ok(table)
    }
}
