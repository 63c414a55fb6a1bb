//! Ranks adapters.

use wgpu::{AdapterInfo, Backend, DeviceType};

use super::adapter_info::is_software;

/// Smaller is better: software last, then by kind, then by API. SwiftShader comes after the other
/// software of its API: it is meant for testing, has narrower subgroups, and the Vulkan loader
/// lists added drivers first.
pub(super) fn rank(info: &AdapterInfo, low_power: bool) -> (bool, u8, u8, bool) {
    let kind = match info.device_type {
        // All software is of one kind: OpenGL's drivers name theirs differently.
        _ if is_software(info) => 5,
        // After integrated GPUs.
        _ if is_slow_nouveau(info) => 2,
        DeviceType::DiscreteGpu => u8::from(low_power),
        DeviceType::IntegratedGpu => u8::from(!low_power),
        DeviceType::VirtualGpu => 3,
        DeviceType::Other => 4,
        DeviceType::Cpu => 5,
    };
    let api = match info.backend {
        Backend::Vulkan | Backend::Metal => 0,
        Backend::Dx12 => 1,
        Backend::BrowserWebGpu => 2,
        Backend::Gl => 3,
        Backend::Noop => 4,
    };
    (is_software(info), kind, api, info.name.to_lowercase().contains("swiftshader"))
}

/// Whether nouveau drives an NVIDIA GPU before Turing. It cannot raise the clock of such a GPU
/// (nouveau.freedesktop.org, "Power Management"), so an integrated GPU is faster. Mesa names the
/// chip: `(NVK GP106)` on Vulkan, `NV136` on OpenGL. The names of Kepler, Maxwell, Pascal and Volta
/// begin with GK, GM, GP and GV; Turing's numbers begin at 0x160.
fn is_slow_nouveau(info: &AdapterInfo) -> bool {
    let words: Vec<&str> = info.name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let on_vulkan = words.windows(2).any(|pair| {
        pair[0] == "NVK" && ["GK", "GM", "GP", "GV"].iter().any(|chip| pair[1].starts_with(chip))
    });
    let number = |word: &&str| {
        let digits = word.strip_prefix("NV").filter(|digits| digits.len() <= 3)?;
        u32::from_str_radix(digits, 16).ok()
    };
    on_vulkan || words.iter().find_map(number).is_some_and(|chip| chip < 0x160)
}

/// Whether an adapter ranks before every adapter that OpenGL could have. OpenGL does not report
/// what kind of GPU it runs on. wgpu 30 infers it from the GPU's name: an integrated GPU, software,
/// or [`DeviceType::Other`], never a discrete one.
pub(super) fn comes_before_gl(info: &AdapterInfo, low_power: bool) -> bool {
    let kinds = [DeviceType::IntegratedGpu, DeviceType::Other, DeviceType::Cpu];
    kinds
        .iter()
        .all(|&kind| rank(info, low_power) < rank(&AdapterInfo::new(kind, Backend::Gl), low_power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_comes_before_software() {
        let info = |name: &str, kind, backend| AdapterInfo {
            name: name.to_owned(),
            ..AdapterInfo::new(kind, backend)
        };
        let cpu = info("llvmpipe (LLVM 15)", DeviceType::Cpu, Backend::Vulkan);
        let gl = info("llvmpipe (LLVM 15)", DeviceType::Other, Backend::Gl);
        let discrete = info("A", DeviceType::DiscreteGpu, Backend::Vulkan);
        let integrated = info("B", DeviceType::IntegratedGpu, Backend::Vulkan);
        assert!(rank(&discrete, false) < rank(&integrated, false));
        assert!(rank(&integrated, true) < rank(&discrete, true));
        assert!(rank(&integrated, false) < rank(&cpu, false));
        assert!(is_software(&gl) && rank(&discrete, false) < rank(&gl, false));
        let swift = info("SwiftShader Device (Subzero)", DeviceType::Cpu, Backend::Vulkan);
        let cpu_gl = info("llvmpipe (LLVM 15)", DeviceType::Cpu, Backend::Gl);
        assert!(
            rank(&cpu, false) < rank(&swift, false) && rank(&swift, false) < rank(&cpu_gl, false)
        );
        let soft_gl = info("softpipe", DeviceType::Other, Backend::Gl);
        assert!(rank(&cpu, false) < rank(&soft_gl, false));
    }

    #[test]
    fn nouveau_before_turing_comes_after_integrated_gpus() {
        let nouveau = |name: &str| AdapterInfo {
            name: name.to_owned(),
            ..AdapterInfo::new(DeviceType::DiscreteGpu, Backend::Vulkan)
        };
        let integrated = AdapterInfo::new(DeviceType::IntegratedGpu, Backend::Vulkan);
        for name in ["NVIDIA GeForce GTX 1060 (NVK GP106)", "NV136", "NV50"] {
            for low_power in [false, true] {
                assert!(rank(&integrated, low_power) < rank(&nouveau(name), low_power), "{name}");
            }
        }
        for name in ["NVIDIA GeForce RTX 2060 (NVK TU106)", "NV166", "NVIDIA GeForce GTX 1060"] {
            assert!(rank(&nouveau(name), false) < rank(&integrated, false), "{name}");
        }
    }

    /// The chosen adapter still ranks first after any adapter that OpenGL may list is added.
    #[test]
    fn opengl_is_left_out_only_where_it_cannot_be_chosen() {
        use Backend::{Dx12, Gl, Vulkan};
        let info = |name: &str, kind, backend| AdapterInfo {
            name: name.to_owned(),
            ..AdapterInfo::new(kind, backend)
        };
        let of_gl = [
            info("Intel HD", DeviceType::IntegratedGpu, Gl),
            info("NVIDIA", DeviceType::Other, Gl),
            info("llvmpipe", DeviceType::Cpu, Gl),
            info("softpipe", DeviceType::Other, Gl),
        ];
        let (discrete, integrated) = (DeviceType::DiscreteGpu, DeviceType::IntegratedGpu);
        for (own, [high, low]) in [
            (info("A", discrete, Vulkan), [true, false]),
            (info("B", integrated, Vulkan), [true, true]),
            (info("B", integrated, Dx12), [true, true]),
            (info("C", DeviceType::VirtualGpu, Vulkan), [false, false]),
            (info("D", DeviceType::Other, Vulkan), [false, false]),
            (info("llvmpipe", DeviceType::Cpu, Vulkan), [false, false]),
            (info("NVIDIA", DeviceType::Other, Gl), [false, false]),
        ] {
            for (low_power, expected) in [(false, high), (true, low)] {
                let first = of_gl.iter().all(|gl| rank(&own, low_power) < rank(gl, low_power));
                assert_eq!(
                    (comes_before_gl(&own, low_power), first),
                    (expected, expected),
                    "{own:?}, {low_power}"
                );
            }
        }
    }
}
