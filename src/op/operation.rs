//! One operation: the shape of its output, its arithmetic and its memory traffic.

use super::shape_check::same;
use super::{Conv, Epilogue, KernelSize, PoolWindows, TrainOp};
use crate::error::ShapeError;
use crate::tensor::{DType, Shape};

/// One operation. Its inputs are listed with each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Convolution with an epilogue. Inputs: image, and the residual if the epilogue has one.
    Conv {
        /// The convolution.
        conv: Conv,
        /// The epilogue, applied to the sums.
        epilogue: Epilogue,
    },
    /// Two convolutions added, then bias and ReLU: a block's third convolution and its downsample
    /// as **one** sum over the channels of two inputs. Inputs: the main branch's image, the
    /// shortcut's image.
    JoinedConv {
        /// The main branch's 1x1 convolution, stride 1.
        main: Conv,
        /// The shortcut's 1x1 convolution, any stride.
        shortcut: Conv,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// BatchNorm2d in eval mode as one multiply and add per channel, then an optional ReLU. Input:
    /// image.
    BatchNorm {
        /// Channels.
        channels: usize,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// The maximum over windows of 3x3 pixels, stride 2, without padding pixels; NaN if one of them
    /// is NaN. Input: image.
    MaxPool {
        /// Channels.
        channels: usize,
        /// Where the windows begin.
        windows: PoolWindows,
    },
    /// The mean of all pixels of an image, as one pixel. Input: image.
    GlobalAvgPool {
        /// Channels.
        channels: usize,
    },
    /// The residual addition, then an optional ReLU. Inputs: two images of the same shape.
    Add {
        /// Channels.
        channels: usize,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// The same values in another precision. Input: image.
    Convert {
        /// Channels.
        channels: usize,
        /// The output's element type.
        to: DType,
    },
    /// An operation of training.
    Train(TrainOp),
}

impl Op {
    /// The operation's usual name, which is also its shader's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv { conv, .. } => conv.name(),
            Op::JoinedConv { .. } => "conv1x1_joined",
            Op::BatchNorm { .. } => "batchnorm_relu",
            Op::Add { .. } => "residual_add",
            Op::MaxPool { .. } => "max_pool",
            Op::GlobalAvgPool { .. } => "global_avg_pool",
            Op::Convert { .. } => "convert",
            Op::Train(op) => op.name(),
        }
    }

    /// The shape of the output.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the number of inputs, their channels or their sizes do not fit
    /// the operation.
    pub fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        match (*self, inputs) {
            (Op::Conv { conv, epilogue: Epilogue { residual: false, .. } }, &[image]) => {
                conv.output_shape(image)
            }
            (Op::Conv { conv, epilogue: Epilogue { residual: true, .. } }, &[image, residual]) => {
                same("residual", conv.output_shape(image)?, residual)
            }
            (Op::JoinedConv { main, shortcut, .. }, &[image, x]) => {
                same("shortcut", main.output_shape(image)?, shortcut.output_shape(x)?)
            }
            (Op::BatchNorm { channels, .. } | Op::Convert { channels, .. }, &[image]) => {
                same("input", Shape { c: channels, ..image }, image)
            }
            (Op::MaxPool { channels, windows }, &[image]) => windows.output_shape(channels, image),
            (Op::GlobalAvgPool { channels }, &[image]) => {
                same("input", Shape { c: channels, ..image }, image)?;
                Shape::new(image.n, channels, 1, 1)
            }
            (Op::Add { channels, .. }, &[left, right]) => {
                same("input", Shape { c: channels, ..left }, left)?;
                same("shortcut", left, right)
            }
            (Op::Train(op), inputs) => op.output_shape(inputs),
            _ => Err(ShapeError::Mismatch {
                tensor: format!("inputs of {}", self.name()),
                expected: vec![self.input_count()],
                found: vec![inputs.len()],
            }),
        }
    }

    /// The number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        match self {
            Op::Conv { epilogue, .. } => 1 + usize::from(epilogue.residual),
            Op::JoinedConv { .. } | Op::Add { .. } => 2,
            Op::BatchNorm { .. }
            | Op::MaxPool { .. }
            | Op::GlobalAvgPool { .. }
            | Op::Convert { .. } => 1,
            Op::Train(op) => op.input_count(),
        }
    }

    /// Floating-point operations for an output of this shape. A multiply-add of a convolution
    /// counts as two, a norm as two per value, an addition as one. The bias, residual and ReLU of
    /// an epilogue are not counted, nor are pools, as is usual.
    #[must_use]
    pub fn flops(&self, output: Shape) -> u64 {
        let values = output.len() as u64;
        match self {
            Op::Conv { conv, .. } => conv.macs(output).saturating_mul(2),
            Op::JoinedConv { main, shortcut, .. } => {
                main.macs(output).saturating_add(shortcut.macs(output)).saturating_mul(2)
            }
            Op::BatchNorm { .. } => values.saturating_mul(2),
            Op::Add { .. } => values,
            Op::MaxPool { .. } | Op::GlobalAvgPool { .. } | Op::Convert { .. } => 0,
            Op::Train(op) => op.flops(output),
        }
    }

    /// The least memory traffic in bytes: each used input value and each parameter read once, each
    /// output value written once, without channel padding.
    #[must_use]
    pub fn min_bytes(&self, inputs: &[Shape], output: Shape, dtype: DType) -> u64 {
        let read: usize = match self {
            Op::JoinedConv { shortcut, .. } => {
                // A strided 1x1 convolution reads only the pixels it steps on.
                let used = output.pixels().saturating_mul(shortcut.in_channels);
                inputs.first().map_or(0, |s| s.len()).saturating_add(used)
            }
            Op::Conv { conv, epilogue } if conv.kernel == KernelSize::One => {
                let residual = if epilogue.residual { output.len() } else { 0 };
                output.pixels().saturating_mul(conv.in_channels).saturating_add(residual)
            }
            _ => inputs.iter().fold(0, |sum, shape| sum.saturating_add(shape.len())),
        };
        let values =
            [output.len(), self.parameters()].into_iter().fold(read, usize::saturating_add);
        values.saturating_mul(dtype.bytes()) as u64
    }

    /// Values in the operation's parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        match self {
            Op::Conv { conv, epilogue } => {
                let bias = if epilogue.bias { conv.out_channels } else { 0 };
                conv.weights().saturating_add(bias)
            }
            Op::JoinedConv { main, shortcut, .. } => {
                let bias = main.out_channels;
                main.weights().saturating_add(shortcut.weights()).saturating_add(bias)
            }
            Op::BatchNorm { channels, .. } => channels.saturating_mul(2),
            Op::Add { .. }
            | Op::MaxPool { .. }
            | Op::GlobalAvgPool { .. }
            | Op::Convert { .. }
            | Op::Train(_) => 0,
        }
    }

    /// Terms in the longest sum of an output value. For a mean, whose length depends on the image,
    /// the terms of a 7x7 map; [`Plan::longest_reduction`](crate::plan::Plan::longest_reduction)
    /// uses the actual map.
    #[must_use]
    pub fn reduction_length(&self) -> usize {
        match self {
            Op::Conv { conv, .. } => conv.reduction_length(),
            Op::JoinedConv { main, shortcut, .. } => {
                main.reduction_length().saturating_add(shortcut.reduction_length())
            }
            Op::BatchNorm { .. } | Op::Add { .. } => 2,
            Op::MaxPool { .. } | Op::Convert { .. } => 1,
            Op::GlobalAvgPool { .. } => 49,
            Op::Train(op) => op.reduction_length(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_costs() -> Result<(), ShapeError> {
        let image = Shape::new(1, 256, 56, 56)?;
        let conv1 = Op::Conv { conv: Conv::conv1x1(256, 64, 1), epilogue: Epilogue::default() };
        let out = conv1.output_shape(&[image])?;
        assert_eq!(out.dims(), [1, 64, 56, 56]);
        assert_eq!(conv1.flops(out), 2 * 256 * 64 * 56 * 56);
        assert_eq!(
            conv1.min_bytes(&[image], out, DType::F32),
            4 * (256 * 3136 + 64 * 3136 + 256 * 64)
        );
        let strided = Op::Conv { conv: Conv::conv1x1(256, 64, 2), epilogue: Epilogue::default() };
        let out = strided.output_shape(&[image])?;
        assert_eq!(
            strided.min_bytes(&[image], out, DType::F32),
            4 * (256 * 784 + 64 * 784 + 256 * 64)
        );
        assert!(conv1.output_shape(&[Shape::new(1, 255, 2, 2)?]).is_err());
        assert!(conv1.output_shape(&[image, image]).is_err());
        assert!(
            Op::Add { channels: 256, relu: true }
                .output_shape(&[image, Shape::new(1, 256, 1, 1)?])
                .is_err()
        );
        Ok(())
    }
}
