//! Properties from the information on an adapter: a line to display, whether it is software, and
//! its subgroup size.

use std::path::Path;

use wgpu::{AdapterInfo, Backend, DeviceType};

/// One line to display: name, backend, kind, driver.
#[must_use]
pub fn describe(info: &AdapterInfo) -> String {
    let kind = match info.device_type {
        _ if is_software(info) => "software",
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software",
        DeviceType::Other => "GPU",
    };
    let driver = format!("{} {}", info.driver, info.driver_info);
    let driver =
        if driver.trim().is_empty() { String::new() } else { format!(", {}", driver.trim()) };
    format!("{} ({}, {kind}{driver})", info.name, info.backend)
}

/// Whether the adapter is a software driver that runs on the CPU. GL drivers report the type
/// "other", so names are checked too.
#[must_use]
pub fn is_software(info: &AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    info.device_type == DeviceType::Cpu
        || ["llvmpipe", "softpipe", "swiftshader", "basic render"]
            .iter()
            .any(|known| name.contains(known))
}

/// Why a GPU may be missing from the adapters, and what to do, in a sentence.
#[must_use]
pub fn hidden_adapters() -> String {
    let container = if is_in_container() {
        "; in this container, an NVIDIA GPU needs NVIDIA_DRIVER_CAPABILITIES=graphics (or all)"
    } else {
        ""
    };
    if std::env::var_os("WGPU_ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER").is_some() {
        return format!("run `bottleneck selftest` before you trust a driver{container}");
    }
    format!(
        "wgpu hides GPUs whose driver is not conformant (WSL, Haswell, development versions): \
        WGPU_ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER=1 shows them; run `bottleneck selftest` before \
        you trust one{container}"
    )
}

/// Whether this process runs in a container: Docker and Podman create a file, and systemd sets the
/// variable `container`.
fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
        || std::env::var_os("container").is_some()
}

/// Whether a watchdog of the system may end work that takes a second or more on this adapter: on
/// integrated, virtual and unknown hardware. Software has none, and a GPU with its own memory is
/// fast enough.
pub fn has_watchdog(info: &AdapterInfo) -> bool {
    !is_software(info) && info.device_type != DeviceType::DiscreteGpu
}

/// The subgroup size of an adapter, if it has only one. For Metal, wgpu 30 reports 4 to 64 whatever
/// the GPU; Apple's own GPUs have subgroups of 32 lanes.
#[must_use]
pub fn subgroup_size(info: &AdapterInfo) -> Option<u32> {
    let is_apples = info.backend == Backend::Metal && info.name.starts_with("Apple");
    match (info.subgroup_min_size, info.subgroup_max_size) {
        _ if is_apples => Some(32),
        (least, most) if least == most => Some(least),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subgroups_of_one_size_are_known() {
        let info = |name: &str, backend, sizes: [u32; 2]| {
            let [subgroup_min_size, subgroup_max_size] = sizes;
            let name = name.to_owned();
            let info = AdapterInfo::new(DeviceType::IntegratedGpu, backend);
            subgroup_size(&AdapterInfo { name, subgroup_min_size, subgroup_max_size, ..info })
        };
        assert_eq!(info("NVIDIA", Backend::Vulkan, [32, 32]), Some(32));
        assert_eq!(info("Intel", Backend::Vulkan, [8, 32]), None);
        assert_eq!(info("Apple M2", Backend::Metal, [4, 64]), Some(32));
        assert_eq!(info("AMD Radeon Pro", Backend::Metal, [4, 64]), None);
    }
}
