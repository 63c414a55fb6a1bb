//! Two-dimensional convolutions of a ResNet: 1x1 without padding, 3x3 with padding = dilation, and
//! the stem's 7x7 with padding = 3 * dilation.

use crate::error::ShapeError;
use crate::tensor::Shape;

/// The size of the square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelSize {
    /// 1x1, padding 0.
    One,
    /// 3x3, padding = dilation.
    Three,
    /// 7x7, padding = 3 * dilation.
    Seven,
}

impl KernelSize {
    /// Taps along each side.
    #[must_use]
    pub const fn side(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Seven => 7,
        }
    }
}

/// A convolution without bias. Weights are OIHW, as in PyTorch's Conv2d: `[out, in / groups, k,
/// k]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Kernel size.
    pub kernel: KernelSize,
    /// Step between output pixels, from 1 to [`Conv::MAX_STEP`].
    pub stride: usize,
    /// Step between taps, from 1 to [`Conv::MAX_STEP`]. The padding is the dilation times half the
    /// kernel size, rounded down.
    pub dilation: usize,
    /// Groups, dividing both channel counts.
    pub groups: usize,
}

impl Conv {
    /// The largest stride or dilation: 2^24. With it, three dilations, and a stride or a dilation
    /// plus an image side, fit in the 32-bit arithmetic of the kernels.
    pub const MAX_STEP: usize = 1 << 24;

    /// A dense 1x1 convolution.
    #[must_use]
    pub const fn conv1x1(in_channels: usize, out_channels: usize, stride: usize) -> Self {
        Self { in_channels, out_channels, kernel: KernelSize::One, stride, dilation: 1, groups: 1 }
    }

    /// A 3x3 convolution with padding = dilation.
    #[must_use]
    pub const fn conv3x3(
        in_channels: usize,
        out_channels: usize,
        stride: usize,
        dilation: usize,
        groups: usize,
    ) -> Self {
        Self { in_channels, out_channels, kernel: KernelSize::Three, stride, dilation, groups }
    }

    /// A dense 7x7 convolution with padding 3, as in a stem.
    #[must_use]
    pub const fn conv7x7(in_channels: usize, out_channels: usize, stride: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: KernelSize::Seven,
            stride,
            dilation: 1,
            groups: 1,
        }
    }

    /// The name of the operation.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.kernel {
            KernelSize::One => "conv1x1",
            KernelSize::Three => "conv3x3",
            KernelSize::Seven => "conv7x7",
        }
    }

    /// Taps of the kernel: 1, 9 or 49.
    #[must_use]
    pub const fn taps(&self) -> usize {
        self.kernel.side() * self.kernel.side()
    }

    /// The shape of the output. All kernels give `(size - 1) / stride + 1` per direction. This is
    /// PyTorch's `(size + 2 * padding - dilation * (k - 1) - 1) / stride + 1` with padding =
    /// dilation * (k - 1) / 2.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the image has a different number of channels;
    /// [`ShapeError::Overflow`] if the output would not fit in memory;
    /// [`ShapeError::ImpossibleConv`] for an invalid stride, dilation or number of groups.
    pub fn output_shape(&self, image: Shape) -> Result<Shape, ShapeError> {
        let image = Shape::named("image", &image.dims())?;
        if !self.is_possible() {
            let Self { in_channels, out_channels, stride, dilation, groups, .. } = *self;
            return Err(ShapeError::ImpossibleConv {
                name: self.name(),
                in_channels,
                out_channels,
                stride,
                dilation,
                groups,
            });
        }
        if image.c != self.in_channels {
            let expected = Shape { c: self.in_channels, ..image };
            let (expected, found) = (expected.dims().to_vec(), image.dims().to_vec());
            return Err(ShapeError::Mismatch {
                tensor: format!("input of {}", self.name()),
                expected,
                found,
            });
        }
        let size = |input: usize| (input - 1) / self.stride + 1;
        Shape::new(image.n, self.out_channels, size(image.h), size(image.w))
    }

    /// Whether the groups divide both channel counts, and stride and dilation are in their range.
    #[must_use]
    pub(crate) const fn is_possible(&self) -> bool {
        let Self { in_channels, out_channels, stride, dilation, groups, .. } = *self;
        groups != 0
            && in_channels.is_multiple_of(groups)
            && out_channels.is_multiple_of(groups)
            && 0 < stride
            && stride <= Self::MAX_STEP
            && 0 < dilation
            && dilation <= Self::MAX_STEP
    }

    /// The shape of its weights: OIHW.
    #[must_use]
    pub const fn weight_shape(&self) -> Shape {
        let side = self.kernel.side();
        Shape { n: self.out_channels, c: self.in_per_group(), h: side, w: side }
    }

    /// The convolution of stride 1 that turns gradients of the output into those of the input, if
    /// this convolution's stride is 1 too: inputs and outputs are exchanged, and the weights are
    /// [mirrored](super::TrainOp::MirroredWeights).
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self { in_channels: self.out_channels, out_channels: self.in_channels, stride: 1, ..*self }
    }

    /// Input channels that contribute to one output channel; 0 if `groups` is 0.
    #[must_use]
    pub const fn in_per_group(&self) -> usize {
        per_group(self.in_channels, self.groups)
    }

    /// Output channels of one group; 0 if `groups` is 0.
    #[must_use]
    pub const fn out_per_group(&self) -> usize {
        per_group(self.out_channels, self.groups)
    }

    /// Terms in the sum of one output value; `usize::MAX` if their number does not fit.
    #[must_use]
    pub const fn reduction_length(&self) -> usize {
        self.in_per_group().saturating_mul(self.taps())
    }

    /// Values in the weight tensor; `usize::MAX` if their number does not fit.
    #[must_use]
    pub const fn weights(&self) -> usize {
        self.out_channels.saturating_mul(self.reduction_length())
    }

    /// Multiply-adds for an output of this shape. Taps on padding are counted, as is usual.
    #[must_use]
    pub const fn macs(&self, output: Shape) -> u64 {
        (output.pixels() as u64).saturating_mul(self.weights() as u64)
    }
}

const fn per_group(channels: usize, groups: usize) -> usize {
    match channels.checked_div(groups) {
        Some(channels) => channels,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_convolutions_are_refused() -> Result<(), ShapeError> {
        let (conv, image) = (Conv::conv3x3(4, 4, 1, 1, 1), Shape::new(1, 4, 5, 5)?);
        let most = Conv { stride: Conv::MAX_STEP, dilation: Conv::MAX_STEP, ..conv };
        assert_eq!(most.output_shape(image)?.dims(), [1, 4, 1, 1]);
        for impossible in [
            Conv { stride: 0, ..conv },
            Conv { stride: Conv::MAX_STEP + 1, ..conv },
            Conv { stride: 1 << 32, ..conv },
            Conv { dilation: 0, ..conv },
            Conv { dilation: Conv::MAX_STEP + 1, ..conv },
            Conv { dilation: 1 << 32, ..conv },
            Conv { groups: 0, ..conv },
            Conv { groups: 3, ..conv },
        ] {
            let error = impossible.output_shape(image);
            assert!(matches!(error, Err(ShapeError::ImpossibleConv { .. })), "{impossible:?}");
        }
        let none = Conv { groups: 0, ..conv };
        assert_eq!((none.weights(), none.weight_shape().c), (0, 0));
        let huge = Conv::conv3x3(usize::MAX, usize::MAX, 1, 1, 1);
        assert_eq!((huge.weights(), huge.macs(image)), (usize::MAX, u64::MAX));
        Ok(())
    }
}
