//! Tensors in host memory.

use super::{ChannelLayout, Shape, memory};
use crate::error::ShapeError;

/// Pixels converted between layouts at a time: as many floats as a cache line holds, so that each
/// cache line of a channel is touched once.
const STRIP: usize = 16;

/// An f32 tensor in host memory, NCHW, contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: Vec<f32>,
}

impl HostTensor {
    /// A tensor from its values in NCHW order.
    ///
    /// # Errors
    /// [`ShapeError::Length`] if the number of values is not `shape.len()`.
    pub fn new(shape: Shape, data: Vec<f32>) -> Result<Self, ShapeError> {
        if data.len() != shape.len() {
            return Err(ShapeError::Length {
                tensor: format!("tensor {shape}"),
                expected: shape.len(),
                found: data.len(),
            });
        }
        Ok(Self { shape, data })
    }

    /// A tensor of zeros. If there is not enough memory, the process ends;
    /// [`HostTensor::try_zeros`] returns an error.
    #[must_use]
    pub fn zeros(shape: Shape) -> Self {
        Self { shape, data: vec![0.0; shape.len()] }
    }

    /// [`HostTensor::zeros`] for shapes that may be too large for this machine.
    ///
    /// # Errors
    /// [`ShapeError::Memory`].
    pub fn try_zeros(shape: Shape) -> Result<Self, ShapeError> {
        check_memory(shape)?;
        let data = bytemuck::allocation::try_zeroed_vec(shape.len());
        Ok(Self { shape, data: data.map_err(|()| no_memory(shape))? })
    }

    /// [`HostTensor::from_fn`] for shapes that may be too large for this machine.
    ///
    /// # Errors
    /// [`ShapeError::Memory`].
    pub fn try_from_fn(shape: Shape, value: impl FnMut(usize) -> f32) -> Result<Self, ShapeError> {
        check_memory(shape)?;
        let mut data = Vec::new();
        data.try_reserve_exact(shape.len()).map_err(|_| no_memory(shape))?;
        data.extend((0..shape.len()).map(value));
        Ok(Self { shape, data })
    }

    /// A tensor whose value at flat NCHW index `i` is `value(i)`. If there is not enough memory,
    /// the process ends; [`HostTensor::try_from_fn`] returns an error.
    pub fn from_fn(shape: Shape, value: impl FnMut(usize) -> f32) -> Self {
        Self { shape, data: (0..shape.len()).map(value).collect() }
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values in NCHW order.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values in NCHW order, without the shape.
    #[must_use]
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Appends the images of another tensor to the batch.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for images of a different size.
    pub fn append(&mut self, items: &Self) -> Result<(), ShapeError> {
        items.check_shape("images", Shape { n: items.shape.n, ..self.shape })?;
        self.data.extend_from_slice(&items.data);
        self.shape.n += items.shape.n;
        Ok(())
    }

    /// Returns an error unless the tensor has the expected shape; `tensor` is its name in the
    /// error.
    pub(crate) fn check_shape(&self, tensor: &str, expected: Shape) -> Result<(), ShapeError> {
        if self.shape == expected {
            return Ok(());
        }
        let (expected, found) = (expected.dims().to_vec(), self.shape.dims().to_vec());
        Err(ShapeError::Mismatch { tensor: tensor.to_owned(), expected, found })
    }

    /// The values in the device's order: NHWC, channels in `layout`, zero padding.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if `layout` has a different number of channels;
    /// [`ShapeError::Memory`].
    pub fn to_nhwc(&self, layout: ChannelLayout) -> Result<Vec<f32>, ShapeError> {
        let mut packed = Vec::new();
        packed
            .try_reserve_exact(self.shape.pixels() * layout.vec4_per_pixel() * 4)
            .map_err(|_| no_memory(self.shape))?;
        self.nhwc_strips(layout, Rows::all(self.shape), |strip| packed.extend_from_slice(strip))?;
        Ok(packed)
    }

    /// [`HostTensor::to_nhwc`] for some rows, piece by piece and in order. A piece is a few pixels
    /// with all of their channels, which stay in the L1 cache while the channels are gathered.
    /// Images after the last one are zeros.
    pub(crate) fn nhwc_strips(
        &self,
        layout: ChannelLayout,
        lines: Rows,
        mut write: impl FnMut(&[f32]),
    ) -> Result<(), ShapeError> {
        check_channels(self.shape, layout)?;
        let (plane, padded) = (self.shape.h * self.shape.w, layout.vec4_per_pixel() * 4);
        let (start, end) = (lines.top * self.shape.w, (lines.top + lines.count) * self.shape.w);
        let mut strip = vec![0.0; STRIP * padded];
        for item in lines.item..lines.item + lines.items {
            let item = self.data.chunks_exact(self.shape.c * plane).nth(item);
            if item.is_none() {
                strip.fill(0.0);
            }
            for first in (start..end).step_by(STRIP) {
                let pixels = STRIP.min(end - first);
                for position in 0..padded {
                    let (Some(item), Some(channel)) = (item, layout.channel_at(position)) else {
                        continue;
                    };
                    let source = &item[channel * plane + first..][..pixels];
                    for (pixel, &value) in source.iter().enumerate() {
                        strip[pixel * padded + position] = value;
                    }
                }
                write(&strip[..pixels * padded]);
            }
        }
        Ok(())
    }

    /// The inverse of [`HostTensor::to_nhwc`]: drops the padding and returns to NCHW.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if `layout` has a different number of channels,
    /// [`ShapeError::Length`] if the length of `packed` does not match this shape and layout;
    /// [`ShapeError::Memory`].
    pub fn from_nhwc(
        shape: Shape,
        layout: ChannelLayout,
        packed: &[f32],
    ) -> Result<Self, ShapeError> {
        check_channels(shape, layout)?;
        let padded = layout.vec4_per_pixel() * 4;
        if packed.len() != shape.pixels() * padded {
            let expected = shape.pixels() * padded;
            return Err(ShapeError::Length {
                tensor: format!("NHWC tensor {shape}"),
                expected,
                found: packed.len(),
            });
        }
        let mut tensor = Self::try_zeros(shape)?;
        tensor.put_nhwc(layout, packed, shape.h, 0, Rows::all(shape));
        Ok(tensor)
    }

    /// Copies rows of images from the device's layout into this tensor. `packed` holds `height`
    /// rows of each image in this layout; the rows from `first` on are copied. Images after the
    /// last one are ignored.
    pub(crate) fn put_nhwc(
        &mut self,
        layout: ChannelLayout,
        packed: &[f32],
        height: usize,
        first: usize,
        lines: Rows,
    ) {
        let Shape { c, h, w, .. } = self.shape;
        let (plane, padded) = (h * w, layout.vec4_per_pixel() * 4);
        let items = self.data.chunks_exact_mut(c * plane).skip(lines.item).take(lines.items);
        for (item, packed) in items.zip(packed.chunks_exact(height * w * padded)) {
            let packed = &packed[first * w * padded..][..lines.count * w * padded];
            for (strip, first) in
                packed.chunks(STRIP * padded).zip((lines.top * w..).step_by(STRIP))
            {
                for position in 0..padded {
                    let Some(channel) = layout.channel_at(position) else { continue };
                    let target = &mut item[channel * plane + first..][..strip.len() / padded];
                    for (pixel, value) in target.iter_mut().enumerate() {
                        *value = strip[pixel * padded + position];
                    }
                }
            }
        }
    }
}

/// Rows of some images of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The first image.
    pub item: usize,
    /// The number of images.
    pub items: usize,
    /// The first row.
    pub top: usize,
    /// The number of rows.
    pub count: usize,
}

impl Rows {
    /// All rows of a tensor of this shape.
    pub const fn all(shape: Shape) -> Self {
        Self { item: 0, items: shape.n, top: 0, count: shape.h }
    }
}

/// Bytes of a tensor.
fn bytes(shape: Shape) -> u64 {
    (shape.len() as u64).saturating_mul(size_of::<f32>() as u64)
}

/// Checks that the memory of a large tensor is available.
fn check_memory(shape: Shape) -> Result<(), ShapeError> {
    let is_small = bytes(shape) < memory::LARGE;
    if is_small { Ok(()) } else { memory::check("tensor", &shape.dims(), bytes(shape)) }
}

fn no_memory(shape: Shape) -> ShapeError {
    memory::Lack::of(bytes(shape)).of_tensor("tensor", &shape.dims())
}

/// Checks that the layout has as many channels as the shape.
fn check_channels(shape: Shape, layout: ChannelLayout) -> Result<(), ShapeError> {
    if shape.c == layout.channels() {
        return Ok(());
    }
    let expected = Shape { c: layout.channels(), ..shape };
    Err(ShapeError::Mismatch {
        tensor: "tensor".to_owned(),
        expected: expected.dims().to_vec(),
        found: shape.dims().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_that_does_not_fit_into_memory_is_an_error() -> Result<(), ShapeError> {
        let shape = Shape::new(1, 4, 100_000_000, 1_000_000)?;
        let index = |at: usize| at as f32;
        for found in [HostTensor::try_zeros(shape), HostTensor::try_from_fn(shape, index)] {
            let bytes = 1_600_000_000_000_000;
            assert!(
                matches!(&found, Err(ShapeError::Memory { bytes: found, .. }) if *found == bytes),
                "{found:?}"
            );
        }
        let small = Shape::new(1, 2, 1, 2)?;
        assert_eq!(HostTensor::try_zeros(small)?, HostTensor::zeros(small));
        assert_eq!(HostTensor::try_from_fn(small, index)?, HostTensor::from_fn(small, index));
        Ok(())
    }

    #[test]
    fn nhwc_and_back() -> Result<(), ShapeError> {
        let tensor = HostTensor::from_fn(Shape::new(2, 6, 3, 2)?, |i| i as f32);
        for layout in [ChannelLayout::dense(6), ChannelLayout::grouped(6, 2)] {
            let packed = tensor.to_nhwc(layout)?;
            assert_eq!(packed.len(), 2 * 3 * 2 * 8);
            assert_eq!(HostTensor::from_nhwc(tensor.shape(), layout, &packed)?, tensor);
        }
        assert!(tensor.to_nhwc(ChannelLayout::dense(5)).is_err());
        Ok(())
    }
}
