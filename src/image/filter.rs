//! The filters for resizing an image: Pillow's, by their names.

use std::f64::consts::PI;

/// How a resized pixel is interpolated. When downscaling, every filter but `Nearest` is widened by
/// the scale factor, which torchvision calls antialiasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// The pixel under the centre of the new one.
    Nearest,
    /// The mean of the area that the new pixel covers.
    Box,
    /// A triangle; torchvision's default.
    #[default]
    Bilinear,
    /// A cosine window, about as sharp as `Bicubic` and as cheap as `Bilinear`.
    Hamming,
    /// Cubic with a = -0.5.
    Bicubic,
    /// A windowed sinc over three pixels on each side.
    Lanczos,
}

impl Filter {
    /// Every filter.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

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

    /// The filter with this name in timm's configurations.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }

    /// The filter with this number in Pillow's `Resampling`, as in Hugging Face's configurations.
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

    /// The radius of the filter, in pixels of the smaller image. `Nearest` selects by position
    /// only.
    pub(super) const fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at a distance from the centre, before normalisation to a sum of 1.
    pub(super) fn weight(self, x: f64) -> f64 {
        let far = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear if far < 1.0 => 1.0 - far,
            Self::Hamming if far == 0.0 => 1.0,
            Self::Hamming if far < 1.0 => {
                (far * PI).sin() / (far * PI) * (0.54 + 0.46 * (far * PI).cos())
            }
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
