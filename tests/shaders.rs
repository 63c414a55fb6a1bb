//! Every specialisation that can ever be built: valid, within the weakest device's limits, laid out
//! as the host believes, written in every backend's language, SPIR-V that spirv-val accepts, and no
//! ReLU that swallows NaN.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::process::Command;

use crate::common::Outcome;
use crate::common::seeded::Seeded;
use naga::{Expression, MathFunction, ScalarKind};
use rayon::prelude::*;
use wgpu_bottleneck::gpu::ceiling_kernels;
use wgpu_bottleneck::kernel::{
    Binding, Capabilities, DeviceKind, Family, Kernel, all_specialisations, candidates,
};
use wgpu_bottleneck::network::plan_block;
use wgpu_bottleneck::plan::PlanKind;
use wgpu_bottleneck::shader::{
    Extensions, Reflection, Target, Validated, inspect, names, text, write,
};
use wgpu_bottleneck::{Bottleneck, Preprocessor, Shape};

/// The weakest backends bind no more (downlevel GL).
const STORAGE_BUFFERS: usize = 4;

/// A specialisation as naga sees it.
struct Inspected {
    kernel: Kernel,
    shader: Validated,
    reflection: Reflection,
}

fn inspected() -> Result<Vec<Inspected>, String> {
    let inspect = |kernel: Kernel| {
        let source = kernel.source().map_err(|error| format!("{}: {error}", kernel.name()))?;
        let (shader, reflection) = inspect(&source, kernel.extensions())
            .map_err(|error| format!("{}: {error}", kernel.name()))?;
        Ok(Inspected { kernel, shader, reflection })
    };
    let all: Vec<Inspected> =
        all_specialisations().into_par_iter().map(inspect).collect::<Result<_, String>>()?;
    assert!(all.len() > 100, "only {} specialisations", all.len());
    Ok(all)
}

/// Runs a check on every specialisation and lists those that fail it.
fn each(check: impl Fn(&Inspected) -> Result<(), String> + Sync) -> Outcome {
    let complain =
        |one: &Inspected| check(one).err().map(|what| format!("{}: {what}", one.kernel.name()));
    let wrong: Vec<String> = inspected()?.par_iter().filter_map(complain).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

#[test]
fn names_tell_specialisations_apart() {
    let all = all_specialisations();
    let names: HashSet<String> = all.iter().map(Kernel::name).collect();
    let kernels: HashSet<Kernel> = all.iter().copied().collect();
    assert_eq!((names.len(), kernels.len()), (all.len(), all.len()));
}

#[test]
fn host_structs_are_laid_out_like_the_shaders() -> Outcome {
    each(|one| {
        let (members, bytes) = one.kernel.host_params();
        let host: Vec<(&str, u32)> =
            members.iter().map(|&(name, offset)| (name, offset as u32)).collect();
        let wgsl: Vec<(&str, u32)> =
            one.reflection.members.iter().map(|m| (m.name.as_str(), m.offset)).collect();
        expect(host == wgsl, || format!("host {host:?}, shader {wgsl:?}"))?;
        // WGSL rounds a struct up to its alignment; the host must bind at least that much.
        let declared = one.reflection.params_bytes;
        expect(bytes as u32 == declared, || format!("host {bytes} bytes, shader {declared}"))
    })
}

#[test]
fn every_kernel_fits_the_weakest_device() -> Outcome {
    each(|one| {
        let Reflection { workgroup_size: [x, y, z], workgroup_bytes, storage, .. } =
            &one.reflection;
        let core = Capabilities::CORE;
        // Half precision is nowhere where there are fewer than WebGPU's eight.
        let buffers = if one.kernel.extensions().f16 {
            core.max_storage_buffers as usize
        } else {
            STORAGE_BUFFERS
        };
        expect(storage.len() <= buffers, || format!("{} storage buffers", storage.len()))?;
        expect(x * y * z <= core.max_invocations, || format!("{x} x {y} x {z} invocations"))?;
        expect(x * y * z >= 1, || "no invocation".to_owned())?;
        let declared = one.kernel.workgroup_bytes();
        expect(*workgroup_bytes == declared, || {
            format!("{workgroup_bytes} bytes of workgroup memory, not {declared}")
        })?;
        // Some tiles are for devices with more; then they are no candidates elsewhere.
        let fits = *workgroup_bytes <= core.max_workgroup_bytes;
        let able = Capabilities { f16: true, matrices_of_8: true, matrices_of_16: true, ..core };
        let able = Capabilities { subgroup_size: Some(one.kernel.tile.workgroup_x), ..able };
        expect(fits != one.kernel.runs_on(&able).is_err_and(|why| why.contains("memory")), || {
            format!("{workgroup_bytes} bytes of workgroup memory")
        })
    })
}

#[test]
fn bindings_are_what_the_shaders_declare() -> Outcome {
    each(|one| {
        let roles: BTreeMap<u32, Binding> = (0..).zip(one.kernel.bindings()).collect();
        let Reflection { storage, uniform, uniforms, textures, .. } = &one.reflection;
        let buffers = storage
            .iter()
            .map(|&(binding, _)| binding)
            .chain(*uniform)
            .chain(uniforms.iter().copied());
        let declared: BTreeSet<u32> = buffers.chain(textures.iter().copied()).collect();
        let given: BTreeSet<u32> = roles.keys().copied().collect();
        expect(declared == given, || format!("declared {declared:?}, given {given:?}"))?;
        let uniform =
            roles.iter().find(|(_, role)| **role == Binding::Params).map(|(&binding, _)| binding);
        expect(uniform == one.reflection.uniform, || format!("Params at {uniform:?}"))?;
        for binding in textures {
            let is_texture = matches!(
                roles[binding],
                Binding::Weights | Binding::CopiedInput(_) | Binding::CopiedScratch(_)
            );
            expect(is_texture, || format!("texture {binding} is {:?}", roles[binding]))?;
        }
        for &(binding, written) in storage {
            let role = roles[&binding];
            expect(written == (role == one.kernel.written()), || {
                format!("binding {binding} is {role:?}, written: {written}")
            })?;
        }
        let outputs = roles.values().filter(|role| **role == one.kernel.written()).count();
        expect(outputs == 1, || format!("{outputs} outputs"))
    })
}

#[test]
fn every_backend_gets_its_text() -> Outcome {
    each(|one| {
        for target in Target::ALL {
            let written = write(&one.shader, target);
            if !target.expresses(one.kernel.extensions()) {
                expect(written.is_err(), || {
                    format!("{target:?}: written without the types that it lacks")
                })?;
                continue;
            }
            let written = written.map_err(|error| format!("{target:?}: {error}"))?;
            expect(!written.bytes.is_empty(), || format!("{target:?}: nothing written"))?;
        }
        Ok(())
    })
}

/// Whether spirv-val is there. Its absence is an error where a run must be complete.
fn has_spirv_val() -> bool {
    let there = Command::new("spirv-val")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let must = ["BOTTLENECK_REQUIRE_GPUS", "CI"]
        .into_iter()
        .find(|variable| std::env::var_os(variable).is_some());
    match must {
        Some(variable) if !there => {
            panic!("{variable} is set and there is no spirv-val (Debian: spirv-tools)")
        }
        _ => there,
    }
}

/// Whether spirv-val is of a version that knows cooperative matrices: it says
/// `SPIRV-Tools v2023.6`.
fn knows_matrices() -> Result<bool, Box<dyn std::error::Error>> {
    let said = String::from_utf8(Command::new("spirv-val").arg("--version").output()?.stdout)?;
    let version =
        said.split_whitespace().find_map(|word| word.strip_prefix('v')).ok_or("no version")?;
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (year, release) = (numbers.next().ok_or("no year")??, numbers.next().ok_or("no release")??);
    Ok((year, release) >= (2023, 6))
}

/// What spirv-val says of a module.
fn spirv_val(folder: &Path, name: &str, module: &[u8]) -> Result<(), String> {
    let path = folder.join(name);
    std::fs::write(&path, module).map_err(|error| error.to_string())?;
    let output = Command::new("spirv-val").args(["--target-env", "vulkan1.1"]).arg(&path).output();
    let output = output.map_err(|error| error.to_string())?;
    expect(output.status.success(), || {
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    })
}

#[test]
fn spirv_val_accepts_every_kernel() -> Outcome {
    if !has_spirv_val() {
        crate::common::loudly(
            "SKIPPED: no spirv-val (Debian: spirv-tools): the SPIR-V of the kernels was not \
            validated",
        );
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let broken = spirv_val(folder.path(), "broken", &[3, 2, 35, 7, 0, 3, 1, 0]);
    assert!(broken.is_err(), "spirv-val accepts anything");
    let knows_matrices = knows_matrices()?;
    if !knows_matrices {
        crate::common::loudly(
            "SKIPPED: spirv-val knows cooperative matrices from v2023.6 on: those kernels were not \
            validated",
        );
    }
    each(|one| {
        if one.kernel.matrix_side > 0 && !knows_matrices {
            return Ok(());
        }
        let module = write(&one.shader, Target::SpirV)?;
        spirv_val(folder.path(), &one.kernel.name(), &module.bytes)
    })
}

#[test]
fn every_file_is_in_the_catalogue_and_every_kernel_is_used() -> Outcome {
    let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut on_disk = BTreeSet::new();
    let folders = ["", "train/", "shared/", "picture/", "bench/", "proof/"];
    for (folder, prefix) in folders.map(|prefix| (shaders.join(prefix), prefix)) {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                assert_eq!(path.extension().unwrap_or_default(), "wgsl", "{}", path.display());
                on_disk.insert(format!(
                    "{prefix}{}",
                    path.file_stem().unwrap_or_default().to_string_lossy()
                ));
            } else {
                let name = format!("{}/", path.file_name().unwrap_or_default().to_string_lossy());
                assert!(folders.contains(&&*name), "{}", path.display());
            }
        }
    }
    for name in &on_disk {
        assert!(text(name).is_some(), "shaders/{name}.wgsl is not in the catalogue");
    }
    let listed: BTreeSet<String> = names().map(str::to_owned).collect();
    let is_kernel = |name: &&String| !name.contains('/') || name.starts_with("train/");
    let kernels: BTreeSet<String> = on_disk.iter().filter(is_kernel).cloned().collect();
    assert_eq!(listed, kernels);
    let used: BTreeSet<String> =
        all_specialisations().iter().map(|kernel| kernel.family.file().to_owned()).collect();
    assert_eq!(used, kernels, "kernels that specialisations use, and kernels in shaders/");
    for part in on_disk.iter().filter(|name| name.starts_with("shared/")) {
        let line = format!("//#include {part}");
        let included = on_disk
            .iter()
            .filter_map(|name| text(name))
            .any(|text| text.lines().any(|l| l.trim() == line));
        assert!(included, "no file includes {part}");
    }
    Ok(())
}

/// What makes images an input and what measures devices is no step of a plan, and is held to the
/// same.
#[test]
fn kernels_beside_the_plans_are_written_in_every_language() -> Outcome {
    let (folder, validated) = (tempfile::tempdir()?, has_spirv_val());
    let knows_matrices = validated && knows_matrices()?;
    let (images, ceilings) = (Preprocessor::kernels()?, ceiling_kernels()?);
    assert_eq!((images.len(), ceilings.len()), (18, 19));
    let proof = ("proof_count".to_owned(), text("proof/count").unwrap_or_default().to_owned());
    let images = images.into_iter().chain([proof]);
    let images = images.map(|(name, source)| (name, source, Extensions::default()));
    for (name, source, extensions) in images.chain(ceilings) {
        let (shader, reflection) =
            inspect(&source, extensions).map_err(|error| format!("{name}: {error}"))?;
        assert_eq!(inspect(&source, Extensions::default()).is_err(), extensions.f16, "{name}");
        assert!(reflection.storage.len() <= STORAGE_BUFFERS, "{name}: {:?}", reflection.storage);
        assert_eq!(reflection.sampled.is_empty(), !name.contains("texture"), "{name}");
        for target in Target::ALL {
            if !target.expresses(extensions) {
                continue;
            }
            let written =
                write(&shader, target).map_err(|error| format!("{name}, {target:?}: {error}"))?;
            assert!(!written.bytes.is_empty(), "{name}, {target:?}");
            let is_known = validated && (extensions.matrix_side == 0 || knows_matrices);
            if is_known && target == Target::SpirV {
                spirv_val(folder.path(), &name, &written.bytes)
                    .map_err(|error| format!("{name}: {error}"))?;
            }
        }
    }
    Ok(())
}

/// Devices that differ in what the choice of kernels depends on.
fn devices() -> Vec<Capabilities> {
    let mut devices = Vec::new();
    for kind in [DeviceKind::Software, DeviceKind::Integrated, DeviceKind::Discrete] {
        for subgroup_size in [None, Some(4), Some(8), Some(16), Some(32), Some(64)] {
            for max_invocations in [16, 128, 256, 1024] {
                devices.push(Capabilities {
                    kind,
                    int64: subgroup_size.is_some(),
                    f16: subgroup_size.is_some(),
                    subgroup_size,
                    max_invocations,
                    max_workgroup_x: max_invocations,
                    max_workgroup_y: max_invocations.min(64),
                    ..Capabilities::CORE
                });
            }
        }
    }
    devices
}

#[test]
fn candidates_are_all_specialisations_that_are_tested() -> Outcome {
    let known: HashSet<Kernel> = all_specialisations().into_iter().collect();
    let (mut random, mut seen) = (Seeded::new(5), HashSet::new());
    for _ in 0..300 {
        let groups = random.pick(&[1, 1, 2, 3, 8, 32]);
        let spec = Bottleneck::torchvision(1 + random.below(300), 1 + random.below(100))
            .groups(groups)
            .base_width(64 + random.below(100) * 4)
            .stride(1 + random.below(3))
            .dilation(1 + random.below(3))
            .downsample(true)
            .build()?;
        // Without a downsample the shortcut is a residual of the third convolution.
        let plain = Bottleneck::torchvision(4 * spec.planes(), spec.planes())
            .groups(groups)
            .base_width(256)
            .build()?;
        for (block, kind) in
            [(spec, PlanKind::Fused), (spec, PlanKind::Unfused), (plain, PlanKind::Fused)]
        {
            let image = Shape::new(
                1 + random.below(3),
                block.inplanes(),
                1 + random.below(60),
                1 + random.below(60),
            )?;
            let plan = plan_block(&block, image, kind)?;
            let plans = [plan.in_half(&[], wgpu_bottleneck::tensor::DType::F32)?, plan];
            for (device, plan) in
                devices().iter().flat_map(|device| plans.iter().map(move |plan| (device, plan)))
            {
                for step in &plan.steps {
                    let found = candidates(&plan.problem(step), device);
                    let found: Vec<Kernel> = found.iter().flat_map(Kernel::dispatches).collect();
                    let stray = found.iter().find(|kernel| !known.contains(kernel));
                    assert_eq!(stray, None, "{step} of {block:?}");
                    seen.extend(found);
                }
            }
        }
    }
    assert!(seen.len() > 50, "only {} candidates seen", seen.len());
    Ok(())
}

/// Functions of floats that turn NaN into something else.
fn swallows_nan(fun: MathFunction) -> bool {
    use MathFunction::{Clamp, Max, Min, Saturate, SmoothStep, Step};
    matches!(fun, Clamp | Max | Min | Saturate | SmoothStep | Step)
}

/// The floating-point calls of a shader that swallow NaN, as (function, call), outside the function
/// `relu`.
fn swallowed(shader: &Validated) -> Vec<(String, MathFunction)> {
    let Validated { module, info, .. } = shader;
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entries = module
        .entry_points
        .iter()
        .enumerate()
        .map(|(at, e)| (&e.function, info.get_entry_point(at)));
    let mut found = Vec::new();
    for (function, analysis) in functions.chain(entries) {
        let name = function.name.clone().unwrap_or_default();
        for (_, expression) in function.expressions.iter() {
            let Expression::Math { fun, arg, .. } = *expression else { continue };
            let scalar = analysis[arg].ty.inner_with(&module.types).scalar_kind();
            if swallows_nan(fun) && scalar == Some(ScalarKind::Float) && name != "relu" {
                found.push((name.clone(), fun));
            }
        }
    }
    found
}

#[test]
fn only_relu_compares_floats_with_max() -> Outcome {
    let owners: Vec<&str> = names()
        .chain(["shared/relu"])
        .filter(|name| text(name).is_some_and(|text| text.contains("fn relu(")))
        .collect();
    assert_eq!(owners, ["shared/relu"]);
    each(|one| {
        let found = swallowed(&one.shader);
        expect(found.is_empty(), || format!("NaN is swallowed by {found:?}"))?;
        let has_relu =
            one.shader.module.functions.iter().any(|(_, f)| f.name.as_deref() == Some("relu"));
        // What takes gradients through a ReLU computes none itself.
        let is_grad = one.kernel.family.is_training() && one.kernel.family != Family::NormApply;
        expect(has_relu == (one.kernel.epilogue.relu && !is_grad), || {
            format!("has a ReLU: {has_relu}")
        })
    })
}

#[test]
fn a_swallowed_nan_is_seen() -> Outcome {
    let shader = |body: &str| {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> d: array<f32>;\n\
             fn relu(x: f32) -> f32 {{ return max(x, 0.0); }}\n\
             @compute @workgroup_size(1) fn main(@builtin(local_invocation_index) i: u32) {{ \
             {body} }}"
        );
        inspect(&source, Extensions::default()).map(|(shader, _)| swallowed(&shader).len())
    };
    assert_eq!(shader("d[min(i, 3u)] = relu(d[i]);")?, 0);
    assert_eq!(shader("d[i] = max(d[i], 0.0);")?, 1);
    assert_eq!(shader("d[i] = clamp(min(d[i], 6.0), 0.0, 6.0);")?, 2);
    Ok(())
}
