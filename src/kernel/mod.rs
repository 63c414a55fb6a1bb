//! Kernels as data: the available kernels, the candidates for a step, the selected one, and its
//! host-side data.
//!
//! A [`Kernel`] is one specialisation of a WGSL file: a family, a tile and flags. Its methods
//! return its source, its parameters, its workgroup count and its weight packing, from which the
//! `gpu` module creates pipelines and buffers. A new family needs a WGSL file, an entry in
//! [`Family`], its candidates and, if its weight layout differs, its packing.

mod access;
mod bindings;
mod candidate_tiles;
mod candidates;
mod capabilities;
mod chip;
mod compile_time;
mod conv;
mod cost;
mod dispatches;
mod elementwise;
mod family;
mod host;
mod launch;
mod limits;
mod matrix;
mod measured;
mod method;
mod op_families;
mod pack;
mod planes;
mod pool;
mod problem;
mod select;
mod source;
mod specialisation;
mod split_k;
mod suitability;
mod textures;
mod tile;
mod train;
mod update;
mod winograd;
mod winograd_transforms;
mod work;

pub use access::Access;
pub use bindings::Binding;
pub use candidates::{all_candidates, all_specialisations, candidates, training_candidates};
pub use capabilities::{Capabilities, DeviceKind};
pub use chip::Chip;
pub use family::Family;
pub use host::HostStruct;
pub(crate) use host::host_struct;
pub(crate) use limits::check_iterations;
pub use measured::Measured;
pub use method::Method;
pub(crate) use pack::{pack_weights, unpack_weights};
pub use problem::Problem;
pub use select::{select, select_for_runs};
pub use specialisation::Kernel;
pub(crate) use tile::SLIDE_LINES;
pub use tile::Tile;
pub(crate) use winograd::Grid;
pub use winograd::Winograd;
