//! The channels of a network's input.

use std::fmt;

/// The channels of a network's input, made from red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Channels {
    /// Red, green, blue: torchvision, timm, Hugging Face.
    #[default]
    Rgb,
    /// Blue, green, red: networks from Caffe, detectron2.
    Bgr,
    /// One channel: grey, converted before the resize like Pillow's `convert("L")`.
    Gray,
}

impl Channels {
    /// The number of channels: 3 or 1.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }

    /// The channels of a resized pixel. Unused channels are zero.
    pub(super) const fn of(self, [red, green, blue]: [u8; 3]) -> [u8; 3] {
        match self {
            Self::Rgb => [red, green, blue],
            Self::Bgr => [blue, green, red],
            Self::Gray => [red, 0, 0],
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Gray => "gray",
        })
    }
}

/// The brightness of a pixel in eight bits, computed like Pillow's `convert("L")`.
pub(super) const fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((red as u32 * 19595 + green as u32 * 38470 + blue as u32 * 7471 + 0x8000) >> 16) as u8
}
