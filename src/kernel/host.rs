//! Uniform structs of the host, with a recorded layout that a test compares with the WGSL.

/// A `#[repr(C)]` struct of `u32`s that mirrors a WGSL `Params`.
pub trait HostStruct: bytemuck::Pod {
    /// Members as (name, byte offset) in order, and the size in bytes.
    fn layout() -> (&'static [(&'static str, usize)], usize);
}

/// Declares a struct of `u32`s and its layout.
macro_rules! host_struct {
    ($(#[$meta:meta])* $name:ident { $($field:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
        pub(super) struct $name { $(pub(super) $field: u32),+ }

        impl $crate::kernel::HostStruct for $name {
            fn layout() -> (&'static [(&'static str, usize)], usize) {
                (
                    &[$((stringify!($field), std::mem::offset_of!($name, $field))),+],
                    size_of::<$name>(),
                )
            }
        }
    };
}

pub(crate) use host_struct;
