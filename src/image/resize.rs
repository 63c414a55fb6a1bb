//! The size of a resized image, and the position of its crop.

use std::fmt;

/// The longest side of an image, resized or not: Pillow passes sizes as `f32`, which has no larger
/// consecutive integers.
pub const MAX_SIDE: u32 = 1 << 24;

/// The size of a resized image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resize {
    /// No resize.
    None,
    /// The shorter side gets this length, and the longer one the length that keeps the aspect
    /// ratio, truncated to whole pixels.
    ShorterSide(u32),
    /// Exactly this size; the aspect ratio may change.
    Exact {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
    },
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("not resized"),
            Self::ShorterSide(side) => write!(f, "resized to {side} on the shorter side"),
            Self::Exact { height, width } => write!(f, "resized to {height} x {width}"),
        }
    }
}

/// The start of a centre crop if an odd number of pixels is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CropRounding {
    /// Halves round to even, as in Python's `round`. Used by torchvision and timm.
    #[default]
    HalfToEven,
    /// Halves round down; halves of the padding before a smaller image round up. Used by Hugging
    /// Face's image processors with the Pillow backend.
    Down,
    /// Halves round down, also in the padding. Used by Hugging Face's image processors with
    /// the torchvision backend, since transformers 4.57 (ConvNext: 5.0).
    DownPadded,
}
