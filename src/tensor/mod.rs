//! Shapes, memory layouts, element types and host tensors: the base of all other modules.
//!
//! Outside the crate, tensors are NCHW, as in PyTorch. On the GPU they are NHWC with the channels
//! padded to whole `vec4`s, so that one load reads four channels of one pixel.

mod compare;
mod dtype;
mod host;
mod layout;
pub(crate) mod memory;
mod shape;

pub use compare::{Comparison, Mismatch, Tolerance, compare, compare_spread};
pub use dtype::DType;
pub use host::HostTensor;
pub(crate) use host::Rows;
pub use layout::ChannelLayout;
pub use shape::Shape;
