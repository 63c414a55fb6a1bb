//! A device in a report.

use serde::{Deserialize, Serialize};
use wgpu_bottleneck::Gpu;

use super::super::devices::{driver, kind};

/// A device. Earlier versions wrote only the first four.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// The API.
    pub backend: String,
    /// The kind of device, in words.
    pub kind: String,
    /// The driver and its version.
    pub driver: String,
    /// The driver's version by itself; `None` if the API does not report it.
    #[serde(default)]
    pub driver_version: Option<String>,
    /// The PCI vendor, or the vendor id of the API, e.g. `0x10de`. `0x0000`: unknown.
    #[serde(default)]
    pub vendor_id: Option<String>,
    /// The PCI device, likewise.
    #[serde(default)]
    pub device_id: Option<String>,
    /// Lanes of the smallest and of the largest subgroup.
    #[serde(default)]
    pub subgroup_sizes: Option<[u32; 2]>,
}

impl DeviceReport {
    /// A short name that distinguishes it from others.
    pub fn short(&self) -> String {
        format!("{} ({})", self.name, self.backend)
    }

    /// Its ids and subgroups in words, if they are known.
    pub fn details(&self) -> Option<String> {
        let ids = self.vendor_id.as_ref().zip(self.device_id.as_ref());
        let ids = ids.map(|(vendor, device)| format!("vendor {vendor}, device {device}"));
        let lanes = self.subgroup_sizes.map(|[least, most]| match least == most {
            true => format!("subgroups of {least}"),
            false => format!("subgroups of {least} to {most}"),
        });
        let known: Vec<String> = ids.into_iter().chain(lanes).collect();
        (!known.is_empty()).then(|| known.join(", "))
    }

    /// A device in a report.
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        let version = info.driver_info.trim();
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str().to_owned(),
            kind: kind(info).to_owned(),
            driver: driver(info),
            driver_version: (!version.is_empty()).then(|| version.to_owned()),
            vendor_id: Some(format!("{:#06x}", info.vendor)),
            device_id: Some(format!("{:#06x}", info.device)),
            subgroup_sizes: Some([info.subgroup_min_size, info.subgroup_max_size]),
        }
    }
}
