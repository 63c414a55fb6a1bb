//! The weights of one pass of a resize, along one axis, in Pillow's fixed point.

use super::{Axis, Filter};
use crate::error::ImageError;

/// Fractional bits of a weight. With eight bits for the pixel and two for sums above 1, a sum stays
/// below the sign bit of an `i32`.
pub const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The largest table of weights: the binding size of every WebGPU device.
pub const MAX_TABLE_BYTES: u64 = 128 << 20;

/// The input pixels and their weights for each kept pixel of an axis.
///
/// A kept pixel is `clamp((2^21 + sum(weight * pixel)) >> 22, 0, 255)`, for each of red, green and
/// blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// The first input pixel that any kept pixel depends on.
    pub first: u32,
    /// Number of input pixels from `first` to the last one that any kept pixel depends on.
    pub span: u32,
    /// Words per kept pixel in [`words`](Self::words): two, plus the largest number of weights of
    /// any kept pixel.
    pub stride: u32,
    /// For each kept pixel: its first input pixel, relative to [`first`](Self::first), the number
    /// of weights, and the weights, padded with zeros to [`stride`](Self::stride).
    pub words: Vec<i32>,
}

/// The input pixels of one kept pixel.
#[derive(Debug, Clone, Copy)]
struct Reach {
    first: u32,
    count: u32,
    /// The centre of the kept pixel, in input pixels.
    centre: f64,
}

impl Taps {
    /// The taps of the kept pixels of an axis.
    ///
    /// # Errors
    /// [`ImageError::TooManyBytes`] if the table exceeds [`MAX_TABLE_BYTES`].
    pub fn new(filter: Filter, axis: &Axis) -> Result<Self, ImageError> {
        let reaches = reaches(filter, axis);
        let first = reaches.iter().map(|reach| reach.first).min().unwrap_or(0);
        let end = reaches.iter().map(|reach| reach.first + reach.count).max().unwrap_or(0);
        let stride = 2 + reaches.iter().map(|reach| reach.count).max().unwrap_or(0);
        let bytes = reaches.len() as u64 * u64::from(stride) * 4;
        if bytes > MAX_TABLE_BYTES {
            let image = format!("image of {} pixels a side", axis.input);
            return Err(ImageError::TooManyBytes {
                image,
                what: "a table",
                bytes,
                limit: MAX_TABLE_BYTES,
            });
        }
        let mut words = Vec::with_capacity(reaches.len() * stride as usize);
        for reach in &reaches {
            let next = words.len() + stride as usize;
            words.extend([(reach.first - first) as i32, reach.count as i32]);
            words.extend(weights(filter, axis, reach));
            words.resize(next, 0);
        }
        Ok(Self { first, span: end - first, stride, words })
    }

    /// The first input pixel of a kept pixel, counted from the image's edge, and its weights.
    #[must_use]
    pub fn of(&self, kept: u32) -> (u32, &[i32]) {
        let words = &self.words[kept as usize * self.stride as usize..][..self.stride as usize];
        (self.first + words[0] as u32, &words[2..2 + words[1] as usize])
    }
}

/// The range of input pixels of each kept pixel.
fn reaches(filter: Filter, axis: &Axis) -> Vec<Reach> {
    let scale = axis.scale();
    let kept = axis.first..axis.first + axis.kept;
    if axis.input == axis.resized {
        // Not resized: a filter may smooth even so, but Pillow leaves the pass out.
        return kept.map(|at| Reach { first: at, count: 1, centre: f64::from(at) + 0.5 }).collect();
    }
    if filter == Filter::Nearest {
        return nearest(axis)
            .map(|first| Reach { first, count: 1, centre: f64::from(first) + 0.5 })
            .collect();
    }
    let support = filter.support() * scale.max(1.0);
    let reach = |at: u32| {
        let centre = (f64::from(at) + 0.5) * scale;
        // Rounded, then cut off at the edges; a cast cuts negative numbers to zero.
        let first = (centre - support + 0.5) as u32;
        let end = ((centre + support + 0.5) as u32).min(axis.input);
        Reach { first, count: end.saturating_sub(first), centre }
    };
    kept.map(reach).collect()
}

/// The input pixels of `Nearest`. Like Pillow, this accumulates the scale from pixel to pixel,
/// including its rounding error.
fn nearest(axis: &Axis) -> impl Iterator<Item = u32> {
    let (scale, input) = (axis.scale(), axis.input);
    let middles = std::iter::successors(Some(scale * 0.5), move |at| Some(at + scale));
    let kept = middles.skip(axis.first as usize).take(axis.kept as usize);
    kept.map(move |middle| (middle as u32).min(input - 1))
}

/// The weights of a kept pixel: those of the filter, normalised to a sum of 1, with halves rounded
/// away from zero.
fn weights(filter: Filter, axis: &Axis, reach: &Reach) -> Vec<i32> {
    let one = f64::from(1 << PRECISION_BITS);
    if reach.count == 1 && (filter == Filter::Nearest || axis.input == axis.resized) {
        return vec![1 << PRECISION_BITS];
    }
    let narrower = 1.0 / axis.scale().max(1.0);
    let at = |tap: u32| (f64::from(reach.first + tap) - reach.centre + 0.5) * narrower;
    let raw: Vec<f64> = (0..reach.count).map(|tap| filter.weight(at(tap))).collect();
    // One after the other from zero, as the order of a sum is part of its rounding.
    let sum = raw.iter().fold(0.0, |sum, weight| sum + weight);
    let scaled = raw.into_iter().map(|weight| if sum == 0.0 { weight } else { weight / sum });
    // A cast cuts the fraction off.
    scaled.map(|weight| (weight * one + if weight < 0.0 { -0.5 } else { 0.5 }) as i32).collect()
}
