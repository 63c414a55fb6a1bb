//! Settings for converting an image to a network's input.

use std::fmt;

use super::{Channels, CropRounding, Filter, MAX_SIDE, Resize};
use crate::error::{ImageError, ShapeError};
use crate::tensor::Shape;

/// The mean of ImageNet's pixels per channel, for values from 0 to 1, from torchvision.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviation.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Resize, centre crop and normalisation of an image for a network's input.
///
/// ```
/// use wgpu_bottleneck::image::{Filter, Image, Preprocess, Resize};
///
/// // The preprocessing of torchvision's ResNet50_Weights.IMAGENET1K_V2, with a bicubic filter.
/// let preprocess = Preprocess { filter: Filter::Bicubic, ..Preprocess::imagenet_v2() };
/// assert_eq!((preprocess.resize, preprocess.crop), (Resize::ShorterSide(232), [224, 224]));
/// let grey = Image::from_fn(40, 30, |_, _| [128; 3])?;
/// let input = preprocess.tensor(&[grey])?;
/// assert_eq!(input.shape().dims(), [1, 3, 224, 224]);
/// assert_eq!(input.data()[0], (128.0 / 255.0 - 0.485) / 0.229);
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// The size before the crop.
    pub resize: Resize,
    /// The filter for the resize.
    pub filter: Filter,
    /// Height and width of the crop and of the network's input. It is cut from the centre; a
    /// smaller image is padded with black pixels.
    pub crop: [u32; 2],
    /// Rounding of the first pixel of a crop that cannot be centred exactly.
    pub rounding: CropRounding,
    /// The channels of the network's input.
    pub channels: Channels,
    /// Subtracted from each channel, whose values range from 0 to 1. With a single channel, only
    /// the first number is used.
    pub mean: [f32; 3],
    /// Divisor after the subtraction.
    pub std: [f32; 3],
}

impl Preprocess {
    /// torchvision's `IMAGENET1K_V1`: the shorter side resized to 256 (bilinear), a crop of 224 by
    /// 224, ImageNet's mean and standard deviation.
    #[must_use]
    pub const fn imagenet_v1() -> Self {
        Self {
            resize: Resize::ShorterSide(256),
            filter: Filter::Bilinear,
            crop: [224, 224],
            rounding: CropRounding::HalfToEven,
            channels: Channels::Rgb,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    /// torchvision's `IMAGENET1K_V2`: as [`imagenet_v1`](Self::imagenet_v1), with the shorter side
    /// resized to 232.
    #[must_use]
    pub const fn imagenet_v2() -> Self {
        Self { resize: Resize::ShorterSide(232), ..Self::imagenet_v1() }
    }

    /// The preset with this name: `v1` or `v2`.
    ///
    /// # Errors
    /// [`ImageError::Setting`] for another name.
    pub fn preset(name: &str) -> Result<Self, ImageError> {
        match name {
            "v1" => Ok(Self::imagenet_v1()),
            "v2" => Ok(Self::imagenet_v2()),
            other => Err(ImageError::Setting {
                setting: "preset",
                found: format!("{other:?}"),
                expected: "v1 or v2",
            }),
        }
    }

    /// Returns these settings with other channels. Mean and standard deviation are reordered. For a
    /// single channel, they are averaged over red, green and blue.
    #[must_use]
    pub fn with_channels(self, channels: Channels) -> Self {
        let follow = |[red, green, blue]: [f32; 3]| match (self.channels, channels) {
            (Channels::Rgb, Channels::Bgr) | (Channels::Bgr, Channels::Rgb) => [blue, green, red],
            (Channels::Rgb | Channels::Bgr, Channels::Gray) => [(red + green + blue) / 3.0; 3],
            _ => [red, green, blue],
        };
        Self { channels, mean: follow(self.mean), std: follow(self.std), ..self }
    }

    /// Returns these settings for networks like Caffe's: the mean is subtracted from bytes, and
    /// nothing is divided. The network's input then ranges from -255 to 255.
    #[must_use]
    pub fn of_bytes(self) -> Self {
        Self { std: [1.0 / 255.0; 3], ..self }
    }

    /// The NCHW shape of the input for this many images.
    ///
    /// # Errors
    /// [`ShapeError`] for an empty batch, or one that exceeds the address space.
    pub fn shape(&self, images: usize) -> Result<Shape, ShapeError> {
        let [height, width] = self.crop;
        Shape::named("images", &[images, self.channels.count(), height as usize, width as usize])
    }

    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`ImageError::Setting`] for a size of zero or above [`MAX_SIDE`], a mean that is not
    /// finite, or a standard deviation that is not positive and finite.
    pub fn check(&self) -> Result<(), ImageError> {
        let sides: &[u32] = match &self.resize {
            Resize::None => &[],
            Resize::ShorterSide(side) => &[*side],
            Resize::Exact { height, width } => &[*height, *width],
        };
        let refuse = |setting, found: String, expected| {
            Err(ImageError::Setting { setting, found, expected })
        };
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return refuse("resize", format!("{:?}", self.resize), "1 to 2^24 pixels a side");
        }
        if self.crop.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return refuse("crop", format!("{:?}", self.crop), "1 to 2^24 pixels a side");
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return refuse("mean", format!("{:?}", self.mean), "three finite numbers");
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return refuse("std", format!("{:?}", self.std), "three positive numbers");
        }
        Ok(())
    }

    /// The normalised values of the 256 values of a byte, for red, green and blue; the fourth is
    /// padding and zero.
    ///
    /// Divided by 255, minus the mean, divided by the standard deviation, each rounded to f32, as
    /// in torchvision's `ToTensor` and `Normalize`. A device reads them from a table, since WGSL
    /// permits inexact divisions.
    #[must_use]
    pub fn levels(&self) -> [[f32; 4]; 256] {
        let mut levels = [[0.0; 4]; 256];
        for (byte, level) in (0u8..=255).zip(&mut levels) {
            for ((value, mean), std) in level.iter_mut().zip(self.mean).zip(self.std) {
                *value = (f32::from(byte) / 255.0 - mean) / std;
            }
        }
        levels
    }
}

impl fmt::Display for Preprocess {
    /// One line: `resized to 48 x 48 (bilinear), mean [...], std [...]`. Sizes are height x width.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resize, filter, crop: [height, width], channels, mean, std, .. } = self;
        match resize {
            Resize::None => write!(f, "{resize}")?,
            _ => write!(f, "{resize} ({})", filter.name())?,
        }
        if *resize != (Resize::Exact { height: *height, width: *width }) {
            write!(f, ", cropped to {height} x {width}")?;
        }
        match channels {
            Channels::Rgb => {}
            channels => write!(f, ", {channels}")?,
        }
        write!(f, ", mean {mean:?}, std {std:?}")
    }
}

impl Default for Preprocess {
    /// [`Preprocess::imagenet_v1`].
    fn default() -> Self {
        Self::imagenet_v1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_named() {
        let v1 = Preprocess::imagenet_v1();
        let cases = [
            ("resize", Preprocess { resize: Resize::ShorterSide(0), ..v1 }),
            (
                "resize",
                Preprocess { resize: Resize::Exact { height: 1, width: MAX_SIDE + 1 }, ..v1 },
            ),
            ("crop", Preprocess { crop: [224, 0], ..v1 }),
            ("mean", Preprocess { mean: [0.0, f32::NAN, 0.0], ..v1 }),
            ("std", Preprocess { std: [1.0, 0.0, 1.0], ..v1 }),
        ];
        for (name, preprocess) in cases {
            let error = preprocess.check();
            assert!(
                matches!(error, Err(ImageError::Setting { setting, .. }) if setting == name),
                "{error:?}"
            );
        }
        assert!(v1.check().is_ok() && Preprocess::preset("v3").is_err());
    }

    // Built with overflow checks, this also finds a counter that goes on after the last byte.
    #[test]
    fn each_byte_has_a_level() {
        let levels = Preprocess { std: [1.0, 0.5, 0.25], ..Preprocess::imagenet_v1() }.levels();
        let [red, green, blue] = IMAGENET_MEAN;
        assert_eq!(levels[0], [-red, -green / 0.5, -blue / 0.25, 0.0]);
        assert_eq!(levels[255], [1.0 - red, (1.0 - green) / 0.5, (1.0 - blue) / 0.25, 0.0]);
    }
}
