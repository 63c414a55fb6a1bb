//! Sizes and positions along each axis: of the resized image, and of the part that is kept.

use super::{CropRounding, MAX_SIDE, Preprocess, Resize};
use crate::error::ImageError;

/// One axis of a preprocessing, from the image to the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Pixels of the image.
    pub input: u32,
    /// Pixels after the resize.
    pub resized: u32,
    /// Pixels of the network's input.
    pub crop: u32,
    /// The first resized pixel that is kept.
    pub first: u32,
    /// Number of resized pixels that are kept: all of `crop`, or, if the image is smaller than the
    /// crop, all of `resized`.
    pub kept: u32,
    /// Black pixels before the kept ones, if the image is smaller than the crop. There may be more
    /// after them.
    pub pad: u32,
}

impl Axis {
    fn new(input: u32, resized: u32, crop: u32, rounding: CropRounding) -> Self {
        let missing = crop.saturating_sub(resized);
        let pad = match rounding {
            CropRounding::HalfToEven | CropRounding::DownPadded => missing / 2,
            CropRounding::Down => missing.div_ceil(2),
        };
        let spare = resized.saturating_sub(crop);
        let first = match rounding {
            // Halves go to the even neighbour: 0.5 to 0, 1.5 to 2, 2.5 to 2.
            CropRounding::HalfToEven => spare / 2 + u32::from(spare % 4 == 3),
            CropRounding::Down | CropRounding::DownPadded => spare / 2,
        };
        Self { input, resized, crop, first, kept: crop.min(resized), pad }
    }

    /// Input pixels per resized pixel.
    pub(super) fn scale(&self) -> f64 {
        f64::from(self.input) / f64::from(self.resized)
    }
}

/// The geometry of a preprocessing for images of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The horizontal axis, along the rows.
    pub columns: Axis,
    /// The vertical axis, along the columns.
    pub rows: Axis,
    /// Whether the pass along the columns is the first of the two. The order matters, as each
    /// rounds to eight bits.
    pub columns_first: bool,
}

impl Geometry {
    /// The geometry for an image of this size.
    ///
    /// # Errors
    /// [`ImageError::Empty`]; [`ImageError::TooLarge`] if a side exceeds [`MAX_SIDE`], before
    /// or after the resize; [`ImageError::Setting`] for an invalid preprocessing.
    pub fn new(preprocess: &Preprocess, width: u32, height: u32) -> Result<Self, ImageError> {
        preprocess.check()?;
        if width == 0 || height == 0 {
            return Err(ImageError::Empty { image: "image".to_owned(), width, height });
        }
        let [resized_width, resized_height] = resized(preprocess.resize, width, height);
        let sides = [
            ("image", u64::from(width), u64::from(height)),
            ("resized", resized_width, resized_height),
        ];
        for (image, width, height) in sides {
            if width.max(height) > u64::from(MAX_SIDE) {
                let (image, limit, of) = (image.to_owned(), u64::from(MAX_SIDE), "pixels a side");
                return Err(ImageError::TooLarge { image, width, height, limit, of });
            }
        }
        let ([crop_height, crop_width], rounding) = (preprocess.crop, preprocess.rounding);
        let columns = Axis::new(width, resized_width as u32, crop_width, rounding);
        let rows = Axis::new(height, resized_height as u32, crop_height, rounding);
        // As Pillow decides it since 13.0; before that the rows always came first.
        let lost = |axis: &Axis| i64::from(axis.input) - i64::from(axis.resized);
        let columns_first = lost(&rows) > 0 && lost(&rows) > 2 * lost(&columns);
        Ok(Self { columns, rows, columns_first })
    }
}

/// Width and height after the resize.
fn resized(resize: Resize, width: u32, height: u32) -> [u64; 2] {
    let long_side = |shorter: u32, long: u32, short: u32| {
        // As Python's int(shorter * long / short) has it: one rounding to f64, then cut.
        let product = u64::from(shorter) * u64::from(long);
        // An image is no thinner than a pixel.
        ((product as f64 / f64::from(short)) as u64).max(1)
    };
    match resize {
        Resize::None => [width.into(), height.into()],
        Resize::Exact { height, width } => [width.into(), height.into()],
        Resize::ShorterSide(side) if width <= height => {
            [side.into(), long_side(side, height, width)]
        }
        Resize::ShorterSide(side) => [long_side(side, width, height), side.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_side_is_cut_not_rounded() -> Result<(), ImageError> {
        let of = |width, height| Geometry::new(&Preprocess::imagenet_v1(), width, height);
        let sizes = |geometry: Geometry| [geometry.columns.resized, geometry.rows.resized];
        assert_eq!(sizes(of(500, 375)?), [341, 256]);
        assert_eq!(sizes(of(375, 500)?), [256, 341]);
        assert_eq!(sizes(of(1, 1)?), [256, 256]);
        assert!(matches!(of(1, 1 << 20), Err(ImageError::TooLarge { width: 256, .. })));
        assert!(matches!(of(0, 1), Err(ImageError::Empty { .. })));
        Ok(())
    }

    #[test]
    fn crops_round_as_python_does() {
        let place = |resized, crop, rounding| {
            let axis = Axis::new(9, resized, crop, rounding);
            (axis.first, axis.kept, axis.pad)
        };
        let even = |resized, crop| place(resized, crop, CropRounding::HalfToEven);
        let down = |resized, crop| place(resized, crop, CropRounding::Down);
        assert_eq!(
            [even(225, 224), even(227, 224), even(229, 224)],
            [(0, 224, 0), (2, 224, 0), (2, 224, 0)]
        );
        assert_eq!(
            [down(225, 224), down(227, 224), down(229, 224)],
            [(0, 224, 0), (1, 224, 0), (2, 224, 0)]
        );
        assert_eq!([even(221, 224), down(221, 224)], [(0, 221, 1), (0, 221, 2)]);
        let padded = |resized, crop| place(resized, crop, CropRounding::DownPadded);
        assert_eq!([padded(227, 224), padded(221, 224)], [(1, 224, 0), (0, 221, 1)]);
    }
}
