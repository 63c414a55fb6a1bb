//! The capabilities of a device.

use std::path::Path;

use serde_json::Value;
use wgpu_bottleneck::kernel::{Capabilities, Chip, DeviceKind};
use wgpu_bottleneck::plan::ASSUMED_RATE;
use wgpu_bottleneck::{Gpu, GpuOptions};

use crate::Outcome;

/// Each set of capabilities with its name. Matrix units are experimental, so that a device that has
/// them is listed with and without them.
pub type Devices = Vec<(&'static str, Capabilities)>;

/// The capabilities of the Vulkan device that is found.
pub fn found() -> Outcome<Devices> {
    let gpu = Gpu::with_options(&GpuOptions { matrices: true, ..GpuOptions::default() })?;
    Ok(with_and_without_matrices(*gpu.capabilities()))
}

fn with_and_without_matrices(all: Capabilities) -> Devices {
    let plain = Capabilities { matrices_of_8: false, matrices_of_16: false, ..all };
    let mut devices = vec![("as it is", plain)];
    if all != plain {
        devices.push(("with matrix units", all));
    }
    devices
}

/// The capabilities that the library would find on a device, from what `vkstats --info` printed.
pub fn described(file: &Path) -> Outcome<Devices> {
    let info: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let number = |name: &str| -> Outcome<u64> {
        info[name].as_u64().ok_or_else(|| format!("{}: no number {name}", file.display()).into())
    };
    let small = |name: &str| -> Outcome<u32> { Ok(u32::try_from(number(name)?)?) };
    let is = |name: &str| info[name].as_bool().unwrap_or(false);
    let subgroups = [number("subgroup_least")?, number("subgroup_most")?];
    // VkPhysicalDeviceType: integrated is 1, discrete 2, virtual 3.
    let kind = match number("type")? {
        1 => DeviceKind::Integrated,
        4 => DeviceKind::Software,
        _ => DeviceKind::Discrete,
    };
    let matrices = info["matrices"].as_array().map(Vec::as_slice).unwrap_or_default();
    // f16 times f16, summed in f32, in a subgroup.
    let has = |side: u32| {
        let shape = format!("{side}x{side}x{side} f16*f16+f32->f32 scope3");
        matrices.iter().any(|matrix| matrix.as_str() == Some(&shape))
    };
    Ok(with_and_without_matrices(Capabilities {
        max_binding_bytes: number("storage_range")?.min(Capabilities::MAX_BINDING_BYTES),
        max_workgroups: small("workgroups")?,
        max_invocations: small("invocations")?,
        max_workgroup_x: small("workgroup_x")?,
        max_workgroup_y: small("workgroup_y")?,
        max_workgroup_bytes: small("workgroup_bytes")?,
        max_storage_buffers: small("storage_buffers")?,
        max_texture_side: small("texture_side")?,
        subgroup_size: (subgroups[0] == subgroups[1])
            .then(|| u32::try_from(subgroups[0]))
            .transpose()?,
        int64: is("int64"),
        f16: is("f16") && is("storage16"),
        matrices_of_8: has(8),
        matrices_of_16: has(16),
        kind,
        chip: Chip::of(small("vendor")?, small("id")?, info["device"].as_str().unwrap_or_default()),
        watched_rate: (kind == DeviceKind::Integrated).then_some(ASSUMED_RATE),
        refused: &[],
    }))
}
