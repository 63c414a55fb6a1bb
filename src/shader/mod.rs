//! WGSL: the catalogue of embedded files, their assembly into one text per specialisation, and its
//! validation by naga.

mod assemble;
mod catalogue;
mod extensions;
mod inspect;
mod patch;
mod slots;
mod target;
mod write;

pub use assemble::{AssembleError, Values, assemble, assemble_with};
pub use catalogue::{ENTRY_POINT, names, text};
pub use extensions::Extensions;
pub use inspect::{Member, Reflection, Validated, inspect};
pub use patch::Patch;
pub use target::{Reader, Target, prelude};
pub use write::{Written, write};
