//! Preprocessing on the CPU, with Pillow's integer arithmetic: the reference for the kernels. It
//! shares with them only the weights, which are bit-identical to Pillow's, and no code.

use std::ops::Range;

use super::channels::luma;
use super::{Channels, Geometry, Image, PRECISION_BITS, Preprocess, Taps};
use crate::error::{Error, ImageError};
use crate::tensor::{ChannelLayout, HostTensor, memory};

impl Preprocess {
    /// The resized and cropped image, in eight bits: the result of torchvision's `Resize` and
    /// `CenterCrop` on a Pillow image.
    ///
    /// # Errors
    /// As [`Geometry::new`] and [`Taps::new`]; [`ImageError::Memory`].
    pub fn pixels(&self, image: &Image) -> Result<Image, ImageError> {
        let Geometry { columns, rows, columns_first } =
            Geometry::new(self, image.width(), image.height())?;
        // Two images of this size are in memory at once.
        let bytes = 6 * u64::from(columns.crop) * u64::from(rows.crop);
        memory::reserve(bytes).map_err(|lack| lack.of_image("preprocessed image"))?;
        let across = Taps::new(self.filter, &columns)?;
        let down = Taps::new(self.filter, &rows)?;
        let gray = (self.channels == Channels::Gray).then(|| gray(image));
        let whole = Plane {
            width: image.width(),
            left: 0,
            top: 0,
            pixels: bytemuck::cast_slice(gray.as_deref().unwrap_or(image.data())),
        };
        let (needed_rows, needed_columns) =
            (down.first..down.first + down.span, across.first..across.first + across.span);
        // Of the first pass only what the second needs.
        let kept = if columns_first {
            let middle = whole.down(&down, 0..rows.kept, needed_columns);
            let middle = Plane { width: across.span, left: across.first, top: 0, pixels: &middle };
            middle.across(&across, 0..columns.kept, 0..rows.kept)
        } else {
            let middle = whole.across(&across, 0..columns.kept, needed_rows);
            let middle = Plane { width: columns.kept, left: 0, top: down.first, pixels: &middle };
            middle.down(&down, 0..rows.kept, 0..columns.kept)
        };
        Image::from_fn(columns.crop, rows.crop, |x, y| {
            // Above and left of the kept pixels the difference wraps to huge numbers, so that one
            // comparison finds both sides.
            let (x, y) = (x.wrapping_sub(columns.pad), y.wrapping_sub(rows.pad));
            let inside = x < columns.kept && y < rows.kept;
            if inside { kept[(y * columns.kept + x) as usize] } else { [0; 3] }
        })
    }

    /// The network's input, NCHW: the normalised pixels of each image.
    ///
    /// # Errors
    /// As [`Preprocess::pixels`]; [`ShapeError`](crate::error::ShapeError) if there is no image.
    pub fn tensor(&self, images: &[Image]) -> Result<HostTensor, Error> {
        let shape = self.shape(images.len())?;
        let levels = self.levels();
        let bytes = (shape.pixels() as u64).saturating_mul(16);
        memory::check("preprocessed images", &shape.dims(), bytes)?;
        let mut values = Vec::with_capacity(shape.pixels() * 4);
        for image in images {
            for pixel in self.pixels(image)?.data().as_chunks::<3>().0 {
                let bytes = self.channels.of(*pixel);
                let mut value = [0.0; 4];
                for channel in 0..self.channels.count() {
                    value[channel] = levels[usize::from(bytes[channel])][channel];
                }
                values.extend(value);
            }
        }
        Ok(HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?)
    }
}

/// The pixels of an image in grey: red, green and blue are the brightness.
fn gray(image: &Image) -> Vec<u8> {
    image.data().as_chunks::<3>().0.iter().flat_map(|pixel| [luma(*pixel); 3]).collect()
}

/// A part of an image: its first pixel is in column `left` and row `top`.
struct Plane<'a> {
    width: u32,
    left: u32,
    top: u32,
    pixels: &'a [[u8; 3]],
}

impl Plane<'_> {
    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        self.pixels[(y - self.top) as usize * self.width as usize + (x - self.left) as usize]
    }

    /// The pass along the rows: the kept columns of these rows.
    fn across(&self, taps: &Taps, kept: Range<u32>, rows: Range<u32>) -> Vec<[u8; 3]> {
        let pixel = |x, y| {
            let (first, weights) = taps.of(x);
            blend(weights, |tap| self.at(first + tap, y))
        };
        rows.flat_map(|y| kept.clone().map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect()
    }

    /// The pass along the columns: the kept rows of these columns.
    fn down(&self, taps: &Taps, kept: Range<u32>, columns: Range<u32>) -> Vec<[u8; 3]> {
        let pixel = |x, y| {
            let (first, weights) = taps.of(y);
            blend(weights, |tap| self.at(x, first + tap))
        };
        kept.flat_map(|y| columns.clone().map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect()
    }
}

/// The weighted sum of pixels, rounded and clamped to eight bits.
fn blend(weights: &[i32], pixel: impl Fn(u32) -> [u8; 3]) -> [u8; 3] {
    let mut sums = [1i32 << (PRECISION_BITS - 1); 3];
    for (tap, &weight) in (0..).zip(weights) {
        for (sum, value) in sums.iter_mut().zip(pixel(tap)) {
            *sum = sum.wrapping_add(weight.wrapping_mul(value.into()));
        }
    }
    sums.map(|sum| (sum >> PRECISION_BITS).clamp(0, 255) as u8)
}
