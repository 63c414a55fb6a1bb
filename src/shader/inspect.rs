//! Validation and reflection of shaders with naga.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, TypeInner};

use super::{Extensions, Reader, prelude};

/// The variable that holds `Params`.
const PARAMS: &str = "params";

/// A parsed and validated shader.
#[derive(Debug, Clone)]
pub struct Validated {
    /// The text, without a prelude.
    pub source: String,
    /// The extensions that it may use.
    pub extensions: Extensions,
    /// naga's module.
    pub module: Module,
    /// naga's analysis of the module.
    pub info: ModuleInfo,
}

/// A member of the uniform `Params` of a shader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its offset in bytes.
    pub offset: u32,
}

/// The properties of a shader that determine its pipeline layout and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reflection {
    /// Workgroup size per dimension.
    pub workgroup_size: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Storage bindings as (binding, whether it is written), in order.
    pub storage: Vec<(u32, bool)>,
    /// The bindings of read-only storage textures with four f32 per texel.
    pub textures: Vec<u32>,
    /// The bindings of textures that are sampled as floats, in any texel format.
    pub sampled: Vec<u32>,
    /// The binding of the uniform `Params`, if there is one.
    pub uniform: Option<u32>,
    /// The bindings of other uniforms.
    pub uniforms: Vec<u32>,
    /// The members of `Params`.
    pub members: Vec<Member>,
    /// Bytes of `Params`.
    pub params_bytes: u32,
}

/// Parses and validates a text with the capabilities of plain WGSL and these extensions.
///
/// # Errors
/// naga's message, as one line.
pub fn inspect(source: &str, extensions: Extensions) -> Result<(Validated, Reflection), String> {
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SUBGROUP, extensions.subgroups);
    capabilities.set(Capabilities::SHADER_INT64, extensions.int64);
    capabilities.set(Capabilities::SHADER_FLOAT16, extensions.f16);
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, extensions.matrix_side > 0);
    let text = format!("{}{source}", prelude(Reader::Naga, extensions));
    let module = naga::front::wgsl::parse_str(&text)
        .map_err(|error| one_line(&error.emit_to_string(&text)))?;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| one_line(&error.emit_to_string(&text)))?;
    let reflection = reflect(&module);
    Ok((Validated { source: source.to_owned(), extensions, module, info }, reflection))
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn reflect(module: &Module) -> Reflection {
    let mut reflection = Reflection {
        workgroup_size: module.entry_points.first().map_or([0; 3], |entry| entry.workgroup_size),
        workgroup_bytes: 0,
        storage: Vec::new(),
        textures: Vec::new(),
        sampled: Vec::new(),
        uniform: None,
        uniforms: Vec::new(),
        members: Vec::new(),
        params_bytes: 0,
    };
    for (_, variable) in module.global_variables.iter() {
        let inner = &module.types[variable.ty].inner;
        let binding = variable.binding.as_ref().map(|binding| binding.binding);
        match (variable.space, binding) {
            (AddressSpace::WorkGroup, _) => {
                reflection.workgroup_bytes += inner.size(module.to_ctx())
            }
            (AddressSpace::Storage { access }, Some(binding)) => {
                reflection.storage.push((binding, access.contains(naga::StorageAccess::STORE)));
            }
            (AddressSpace::Handle, Some(binding)) if is_sampled(inner) => {
                reflection.sampled.push(binding)
            }
            (AddressSpace::Handle, Some(binding)) => reflection.textures.push(binding),
            (AddressSpace::Uniform, Some(binding)) if variable.name.as_deref() != Some(PARAMS) => {
                reflection.uniforms.push(binding);
            }
            (AddressSpace::Uniform, Some(binding)) => {
                reflection.uniform = Some(binding);
                if let TypeInner::Struct { members, span } = inner {
                    let member = |m: &naga::StructMember| Member {
                        name: m.name.clone().unwrap_or_default(),
                        offset: m.offset,
                    };
                    reflection.members = members.iter().map(member).collect();
                    reflection.params_bytes = *span;
                }
            }
            _ => {}
        }
    }
    reflection.storage.sort_unstable();
    reflection
}

/// Whether a texture is a `texture_2d`, and not a `texture_storage_2d`.
pub(super) fn is_sampled(inner: &TypeInner) -> bool {
    matches!(inner, TypeInner::Image { class: naga::ImageClass::Sampled { .. }, .. })
}
