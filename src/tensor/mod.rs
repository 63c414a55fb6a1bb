//! Shapes, memory layouts, element types and host tensors: the ground that every other room stands on.
//!
//! Outside the crate tensors are NCHW, as PyTorch writes them. On the GPU they are NHWC with the channels padded to
//! whole `vec4`s, so that one load brings four channels of one pixel.

mod compare;
mod element;
mod host;
mod layout;
mod shape;

pub use compare::{Comparison, Mismatch, Tolerance, compare, compare_spread};
pub use element::Element;
pub use host::HostTensor;
pub(crate) use host::Lines;
pub use layout::ChannelLayout;
pub use shape::Shape;
