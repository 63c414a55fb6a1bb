//! Images: decoding, and preprocessing for a network's input.
//!
//! An [`Image`] has eight bits of red, green and blue per pixel. [`Preprocess`] defines how it is
//! converted to an image of a network's input: resize, centre crop and normalisation, as in
//! torchvision's transforms of Pillow images. It can be read from the configurations of timm and
//! Hugging Face. The arithmetic is Pillow's: a resize is two passes, along the rows and then along
//! the columns, with fixed-point weights ([`Taps`]) and results rounded to eight bits. With
//! integers, the results of every device and of the CPU are bit-identical to Pillow's.
//!
//! [`Preprocess::pixels`] and [`Preprocess::tensor`] are the reference, on the CPU;
//! [`Preprocessor`](crate::gpu::Preprocessor) does the same on a GPU.

#[cfg(feature = "images")]
mod bmp;
mod channels;
#[cfg(feature = "images")]
mod checks;
mod config;
#[cfg(feature = "images")]
mod decode;
mod file;
mod filter;
#[cfg(feature = "images")]
mod format;
mod geometry;
#[cfg(feature = "images")]
mod gif;
#[cfg(feature = "images")]
mod jpeg;
#[cfg(feature = "images")]
mod orientation;
#[cfg(feature = "images")]
mod png;
#[cfg(feature = "images")]
mod pnm;
mod preprocess;
mod reference;
mod resize;
mod rgb8;
mod taps;
#[cfg(feature = "images")]
mod tiff;
#[cfg(feature = "images")]
mod tiff_grey;
#[cfg(feature = "images")]
mod tiff_tags;
#[cfg(feature = "images")]
mod webp;

pub use channels::Channels;
pub use config::ConfiguredPreprocess;
pub(crate) use config::{of_config, read_config, transformers_version};
#[cfg(feature = "images")]
pub use decode::MAX_FILE_BYTES;
pub use filter::Filter;
pub use geometry::{Axis, Geometry};
pub use preprocess::{IMAGENET_MEAN, IMAGENET_STD, Preprocess};
pub use resize::{CropRounding, MAX_SIDE, Resize};
pub(crate) use rgb8::check_rgb8;
pub use rgb8::{Image, MAX_PIXELS};
pub use taps::{MAX_TABLE_BYTES, PRECISION_BITS, Taps};
