//! Preprocessing on the GPU: two passes, along the rows and along the columns, that write an image
//! into a network's input.
//!
//! The first pass writes the pixels that the second needs for the crop, rounded to eight bits, one
//! word per pixel. The second writes the image, through a table of normalised values. Both compute
//! in integers: their results are bit-identical to those of [`Preprocess::pixels`] and
//! [`Preprocess::tensor`].
//!
//! [`Preprocess::pixels`]: crate::image::Preprocess::pixels
//! [`Preprocess::tensor`]: crate::image::Preprocess::tensor

mod kernels;
mod params;
mod passes;
mod preprocessor;
mod source;
mod strips;
mod target;

pub use self::preprocessor::Preprocessor;
pub use self::source::Source;
