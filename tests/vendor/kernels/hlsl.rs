//! Kernels as HLSL, with the options with which wgpu-hal 30 writes trusted modules for DirectX 12
//! (`dx12/device.rs`: `create_pipeline_layout` and `load_shader`).

use std::path::Path;

use naga::back::hlsl::{self, BindTarget, ShaderModel};
use naga::{AddressSpace, Module, StorageAccess};
use serde_json::json;
use wgpu_bottleneck::kernel::{Kernel, all_specialisations};
use wgpu_bottleneck::shader::{Patch, Validated, inspect};

use crate::Outcome;

/// Writes NAME.hlsl for every kernel that a device of this shader model can be given, and prints
/// a line for each kernel: its entry point, or why there is no file.
pub fn write_all(out: &Path, model: &str, patches: &[Patch]) -> Outcome {
    let shader_model = match model {
        "5_1" => ShaderModel::V5_1,
        "6_0" => ShaderModel::V6_0,
        "6_2" => ShaderModel::V6_2,
        "6_6" => ShaderModel::V6_6,
        _ => return Err(format!("unknown shader model {model}").into()),
    };
    std::fs::create_dir_all(out)?;
    for kernel in all_specialisations() {
        let name = kernel.name();
        let written = match lacking(shader_model, &kernel) {
            Some(reason) => Err(reason.to_owned()),
            None => {
                let (shader, _) = inspect(&kernel.source_with(patches)?, kernel.extensions())?;
                text(&shader, shader_model)
            }
        };
        match written {
            Ok((text, entry)) => {
                std::fs::write(out.join(format!("{name}.hlsl")), text)?;
                println!("{}", json!({ "kernel": name, "entry": entry }));
            }
            Err(reason) => println!("{}", json!({ "kernel": name, "none": reason })),
        }
    }
    Ok(())
}

/// What a device of this shader model lacks for a kernel (`dx12/adapter.rs`: features).
fn lacking(model: ShaderModel, kernel: &Kernel) -> Option<&'static str> {
    let needs = kernel.extensions();
    if needs.f16 && model < ShaderModel::V6_2 {
        Some("half precision needs shader model 6.2")
    } else if needs.subgroups && model < ShaderModel::V6_0 {
        Some("subgroup operations need shader model 6.0")
    } else if needs.int64 && model < ShaderModel::V6_0 {
        Some("64-bit integers need shader model 6.0")
    } else if needs.matrix_side > 0 {
        Some("HLSL has no matrix units before shader model 6.9")
    } else {
        None
    }
}

/// The text, and the name of its entry point.
fn text(shader: &Validated, shader_model: ShaderModel) -> Result<(String, String), String> {
    let (binding_map, constants) = registers(&shader.module);
    let options = hlsl::Options {
        shader_model,
        binding_map,
        fake_missing_bindings: false,
        special_constants_binding: Some(constants),
        // `create_shader_module_trusted` and `zero_initialize_workgroup_memory: false`.
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        force_loop_bounding: false,
        ..Default::default()
    };
    let entry_point = Some((naga::ShaderStage::Compute, "main".to_owned()));
    let pipeline = hlsl::PipelineOptions { entry_point };
    let mut text = String::new();
    let info = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&shader.module, &shader.info, None)
        .map_err(|error| error.to_string())?;
    let entry = info.entry_point_names.into_iter().next().ok_or("no entry point")?;
    Ok((text, entry.map_err(|error| error.to_string())?))
}

/// The registers: each kind counts in the order of the bindings. Then the register of the
/// constants that replace built-in values.
fn registers(module: &Module) -> (hlsl::BindingMap, BindTarget) {
    let mut bound: Vec<_> =
        module.global_variables.iter().filter_map(|(_, v)| Some((v.binding?, v))).collect();
    bound.sort_unstable_by_key(|(at, _)| (at.group, at.binding));
    let [mut uniforms, mut reads, mut writes] = [BindTarget::default(); 3];
    let mut map = hlsl::BindingMap::default();
    for (at, variable) in bound {
        let next = match variable.space {
            AddressSpace::Uniform => &mut uniforms,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                &mut writes
            }
            AddressSpace::Handle if is_storage_texture(module, variable) => &mut writes,
            _ => &mut reads,
        };
        map.insert(at, *next);
        next.register += 1;
    }
    (map, uniforms)
}

fn is_storage_texture(module: &Module, variable: &naga::GlobalVariable) -> bool {
    matches!(
        module.types[variable.ty].inner,
        naga::TypeInner::Image { class: naga::ImageClass::Storage { .. }, .. }
    )
}
