//! The positions of a shader's bindings in each language. All languages use the binding numbers of
//! the WGSL, so that one table is enough; naga's defaults would number MSL's buffers and GLSL's
//! blocks differently.

use naga::back::{glsl, hlsl, msl};
use naga::{AddressSpace, GlobalVariable, Module, ResourceBinding, StorageAccess};

use super::inspect::is_sampled;
use super::{ENTRY_POINT, Target};

/// The kind of a bound resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uniform,
    ReadOnly,
    ReadWrite,
    Texture,
    /// A `texture_2d`.
    Sampled,
}

/// The bindings of a shader, in order.
#[derive(Debug)]
pub(super) struct Slots(Vec<(ResourceBinding, Kind)>);

impl Slots {
    /// The bindings that a module declares.
    pub(super) fn of(module: &Module) -> Self {
        let kind = |variable: &GlobalVariable| match variable.space {
            AddressSpace::Uniform => Some(Kind::Uniform),
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                Some(Kind::ReadWrite)
            }
            AddressSpace::Storage { .. } => Some(Kind::ReadOnly),
            AddressSpace::Handle if is_sampled(&module.types[variable.ty].inner) => {
                Some(Kind::Sampled)
            }
            AddressSpace::Handle => Some(Kind::Texture),
            _ => None,
        };
        let globals = module.global_variables.iter();
        let mut slots: Vec<_> = globals.filter_map(|(_, v)| Some((v.binding?, kind(v)?))).collect();
        slots.sort_unstable_by_key(|(at, _)| (at.group, at.binding));
        Self(slots)
    }

    /// Each binding with its position in the syntax of the language.
    pub(super) fn named(&self, target: Target) -> Vec<(u32, String)> {
        let name = |&(ResourceBinding { group, binding }, kind): &(ResourceBinding, Kind)| {
            let text = match (target, kind) {
                (Target::Wgsl, _) => format!("@group({group}) @binding({binding})"),
                (Target::SpirV, _) => format!("DescriptorSet {group} Binding {binding}"),
                (Target::Msl, Kind::Texture | Kind::Sampled) => format!("[[texture({binding})]]"),
                (Target::Msl, _) => format!("[[buffer({binding})]]"),
                (Target::Hlsl, Kind::Uniform) => format!("register(b{binding})"),
                (Target::Hlsl, Kind::ReadOnly | Kind::Sampled) => format!("register(t{binding})"),
                // naga declares a read-only storage texture as a writable one.
                (Target::Hlsl, Kind::ReadWrite | Kind::Texture) => format!("register(u{binding})"),
                (Target::Glsl, Kind::Uniform) => {
                    format!("layout(std140, binding = {binding}) uniform")
                }
                (Target::Glsl, Kind::Sampled) => format!("layout(binding = {binding}) uniform"),
                (Target::Glsl, Kind::Texture) => {
                    format!("layout(rgba32f, binding = {binding}) uniform")
                }
                (Target::Glsl, _) => format!("layout(std430, binding = {binding}) buffer"),
            };
            (binding, text)
        };
        self.0.iter().map(name).collect()
    }

    /// The Metal buffer index after the bindings, which naga's MSL requires: see
    /// [`super::Written::buffer_sizes`].
    pub(super) fn buffer_sizes(&self) -> u8 {
        self.0.last().map_or(0, |(at, _)| at.binding as u8 + 1)
    }

    pub(super) fn msl(&self) -> msl::EntryPointResourceMap {
        let target = |binding: u32, kind| match kind {
            Kind::Texture | Kind::Sampled => {
                msl::BindTarget { texture: Some(binding as u8), ..Default::default() }
            }
            _ => msl::BindTarget {
                buffer: Some(binding as u8),
                mutable: kind == Kind::ReadWrite,
                ..Default::default()
            },
        };
        let resources = self.0.iter().map(|&(at, kind)| (at, target(at.binding, kind))).collect();
        let all = msl::EntryPointResources {
            resources,
            sizes_buffer: Some(self.buffer_sizes()),
            ..Default::default()
        };
        [(ENTRY_POINT.to_owned(), all)].into()
    }

    pub(super) fn hlsl(&self) -> hlsl::BindingMap {
        let target =
            |at: ResourceBinding| hlsl::BindTarget { register: at.binding, ..Default::default() };
        self.0.iter().map(|&(at, _)| (at, target(at))).collect()
    }

    pub(super) fn glsl(&self) -> glsl::BindingMap {
        self.0.iter().map(|&(at, _)| (at, at.binding as u8)).collect()
    }
}
