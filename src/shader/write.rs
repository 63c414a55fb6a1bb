//! Translates a validated shader to the languages that the backends compile.

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};

use super::slots::Slots;
use super::{ENTRY_POINT, Reader, Target, Validated, prelude};

/// A shader in one language, and the differences of a launch from that of the WGSL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The text, or the words for SPIR-V.
    pub bytes: Vec<u8>,
    /// The name of the entry point in the language: MSL does not allow a function called `main`.
    pub entry_point: String,
    /// The bindings in order, each with its position in the syntax of the language:
    /// `[[buffer(1)]]`, `register(t1)`.
    pub slots: Vec<(u32, String)>,
    /// MSL: the position of an additional buffer, with a `u32` per storage buffer for its size in
    /// bytes. naga declares it for arrays without a size, for `arrayLength` and bounds checks; the
    /// kernels of this crate never read it.
    pub buffer_sizes: Option<String>,
}

/// Translates a shader as the library compiles it: without bounds checks, loop guards and zeroed
/// workgroup memory. Divisions keep naga's guard if its writer cannot omit it (HLSL).
///
/// # Errors
/// The error of naga's writer, or the features that the language lacks ([`Target::lacks`]).
pub fn write(shader: &Validated, target: Target) -> Result<Written, String> {
    if let Some(lacking) = target.lacks(shader.extensions) {
        return Err(format!("the language has {lacking}"));
    }
    let slots = Slots::of(&shader.module);
    let (bytes, entry_point) = match target {
        Target::Wgsl => {
            let text = format!("{}{}", prelude(Reader::Browser, shader.extensions), shader.source);
            (text.into_bytes(), ENTRY_POINT.to_owned())
        }
        Target::SpirV => (spirv(shader)?, ENTRY_POINT.to_owned()),
        Target::Msl => metal(shader, &slots)?,
        Target::Hlsl => direct3d(shader, &slots)?,
        // GLSL allows no other name.
        Target::Glsl => (opengl(shader, &slots)?, "main".to_owned()),
    };
    let declared = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("_mslBufferSizes");
    let buffer_sizes = (target == Target::Msl && declared(&bytes))
        .then(|| format!("[[buffer({})]]", slots.buffer_sizes()));
    Ok(Written { bytes, entry_point, slots: slots.named(target), buffer_sizes })
}

/// No bounds checks: the kernels clamp or mask every index.
const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

fn spirv(shader: &Validated) -> Result<Vec<u8>, String> {
    let options = spv::Options {
        lang_version: (1, 3),
        // Names, for users who disassemble it.
        flags: spv::WriterFlags::DEBUG,
        bounds_check_policies: UNCHECKED,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let words = spv::write_vec(&shader.module, &shader.info, &options, None)
        .map_err(|error| error.to_string())?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

fn metal(shader: &Validated, slots: &Slots) -> Result<(Vec<u8>, String), String> {
    let options = msl::Options {
        lang_version: if shader.extensions.matrix_side > 0 { (2, 3) } else { (2, 0) },
        per_entry_point_map: slots.msl(),
        fake_missing_bindings: false,
        bounds_check_policies: UNCHECKED,
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let (text, info) =
        msl::write_string(&shader.module, &shader.info, &options, &msl::PipelineOptions::default())
            .map_err(|error| error.to_string())?;
    Ok((text.into_bytes(), entry_point(info.entry_point_names)?))
}

fn direct3d(shader: &Validated, slots: &Slots) -> Result<(Vec<u8>, String), String> {
    let options = hlsl::Options {
        shader_model: if shader.extensions.f16 {
            hlsl::ShaderModel::V6_2
        } else {
            hlsl::ShaderModel::V6_0
        },
        binding_map: slots.hlsl(),
        fake_missing_bindings: false,
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        force_loop_bounding: false,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let info = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&shader.module, &shader.info, None)
        .map_err(|error| error.to_string())?;
    Ok((text.into_bytes(), entry_point(info.entry_point_names)?))
}

fn opengl(shader: &Validated, slots: &Slots) -> Result<Vec<u8>, String> {
    let options = glsl::Options {
        version: glsl::Version::new_gles(310),
        binding_map: slots.glsl(),
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: ENTRY_POINT.to_owned(),
        multiview: None,
    };
    let mut text = String::new();
    glsl::Writer::new(&mut text, &shader.module, &shader.info, &options, &pipeline, UNCHECKED)
        .and_then(|mut writer| writer.write())
        .map_err(|error| error.to_string())?;
    Ok(text.into_bytes())
}

/// The name that a writer gave the entry point. Some writers omit an entry point if they lack its
/// bindings, and report it only here.
fn entry_point<E: ToString>(names: Vec<Result<String, E>>) -> Result<String, String> {
    let first = names.into_iter().next().ok_or("no entry point")?;
    first.map_err(|error| error.to_string())
}
