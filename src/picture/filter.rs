//! The filters that a picture can be resized with: Pillow's, by the names that its users know.

use std::f64::consts::PI;

/// How a resized pixel is weighed from those around it. Shrinking widens every filter but `Nearest` by the factor of the
/// shrinking, which is what torchvision calls antialiasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// The one pixel under the middle of the new one.
    Nearest,
    /// The mean of what the new pixel covers.
    Box,
    /// A triangle: torchvision's default.
    #[default]
    Bilinear,
    /// A cosine window, about as sharp as `Bicubic` and as cheap as `Bilinear`.
    Hamming,
    /// Cubic with a = -0.5.
    Bicubic,
    /// A windowed sinc over three pixels to each side.
    Lanczos,
}

impl Filter {
    /// Every filter.
    pub const ALL: [Self; 6] = [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// Pillow's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Hamming => "hamming",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// The filter of a name, as timm's configurations have them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }

    /// The filter of a number of Pillow's `Resampling`, as Hugging Face's configurations have them.
    #[must_use]
    pub const fn numbered(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Nearest),
            1 => Some(Self::Lanczos),
            2 => Some(Self::Bilinear),
            3 => Some(Self::Bicubic),
            4 => Some(Self::Box),
            5 => Some(Self::Hamming),
            _ => None,
        }
    }

    /// How far from its middle the filter weighs anything, in pixels of the smaller picture. `Nearest` weighs by position alone.
    pub(super) const fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at a distance from the middle, before all weights are scaled to a sum of 1.
    pub(super) fn weight(self, x: f64) -> f64 {
        let far = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear if far < 1.0 => 1.0 - far,
            Self::Hamming if far == 0.0 => 1.0,
            Self::Hamming if far < 1.0 => (far * PI).sin() / (far * PI) * (0.54 + 0.46 * (far * PI).cos()),
            // The two pieces of the cubic convolution with a = -0.5.
            Self::Bicubic if far < 1.0 => ((A + 2.0) * far - (A + 3.0)) * far * far + 1.0,
            Self::Bicubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * A,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// The slope of `Bicubic` at a distance of 1.
const A: f64 = -0.5;

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}
