//! Writing a validated shader in the languages that the backends compile.

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::BoundsCheckPolicies;

use super::{ENTRY_POINT, Validated};

/// A language that a shader can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// SPIR-V 1.3, for Vulkan; little-endian words.
    SpirV,
    /// Metal Shading Language 2.0.
    Msl,
    /// HLSL, shader model 6.0, for DX12.
    Hlsl,
    /// GLSL ES 3.10, for OpenGL.
    Glsl,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 4] = [Self::SpirV, Self::Msl, Self::Hlsl, Self::Glsl];
}

/// Writes a shader.
///
/// # Errors
/// What naga's writer says.
pub fn write(shader: &Validated, target: Target) -> Result<Vec<u8>, String> {
    let Validated { module, info } = shader;
    match target {
        Target::SpirV => {
            let options = spv::Options { lang_version: (1, 3), ..Default::default() };
            let words = spv::write_vec(module, info, &options, None).map_err(|error| error.to_string())?;
            Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
        }
        Target::Msl => {
            let options = msl::Options { lang_version: (2, 0), fake_missing_bindings: true, ..Default::default() };
            let (text, _) = msl::write_string(module, info, &options, &msl::PipelineOptions::default())
                .map_err(|error| error.to_string())?;
            Ok(text.into_bytes())
        }
        Target::Hlsl => {
            let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
            let pipeline = hlsl::PipelineOptions::default();
            let mut text = String::new();
            hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(module, info, None)
                .map_err(|error| error.to_string())?;
            Ok(text.into_bytes())
        }
        Target::Glsl => {
            let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
            let pipeline = glsl::PipelineOptions {
                shader_stage: naga::ShaderStage::Compute,
                entry_point: ENTRY_POINT.to_owned(),
                multiview: None,
            };
            let mut text = String::new();
            glsl::Writer::new(&mut text, module, info, &options, &pipeline, BoundsCheckPolicies::default())
                .and_then(|mut writer| writer.write())
                .map_err(|error| error.to_string())?;
            Ok(text.into_bytes())
        }
    }
}
