//! The operations of training: norms by a batch's statistics, and the gradients of everything.
//!
//! Every operation writes one tensor. What a norm keeps per channel is a tensor of one image and one line, a pixel for each number:
//!
//! ```text
//! affine        [1, C, 1, 2]   gamma, beta
//! running       [1, C, 1, 3]   running_mean, running_var, and the weight of the next batch in them (PyTorch's momentum)
//! coefficients  [1, C, 1, 6]   pivot, delta, scale, beta, 1 / sqrt(var + eps), var      see NORM_COEFFICIENTS
//! sums          [1, C, 1, 8]   grad gamma, grad beta, pivot, delta, scale, beta, k1, k0  see NORM_SUMS
//! ```
//!
//! The mean is pivot + delta, where the pivot is one of the values: the difference of a value and the pivot is exact or nearly so in
//! f32, whatever the mean is, and so is what a norm makes of it.

use super::{Conv, Op, PoolWindows, UpdateOp};
use crate::error::ShapeError;
use crate::tensor::Shape;

/// Numbers per channel that are a norm's running statistics.
pub const NORM_RUNNING: usize = 3;

/// Numbers per channel that a norm's statistics are.
pub const NORM_COEFFICIENTS: usize = 6;

/// Numbers per channel that a norm's gradient is made of.
pub const NORM_SUMS: usize = 8;

/// Numbers per image that the losses are: the loss, and the rank of the target.
pub const LOSSES: usize = 2;

/// A number of an operation's, compared by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scalar(u64);

impl Scalar {
    /// A number.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// One operation of training. Its inputs are listed with each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrainOp {
    /// Mean and biased variance of each channel over a batch, and what a norm does with them. Inputs: image, affine. Output:
    /// coefficients.
    NormStats {
        /// Channels.
        channels: usize,
        /// Added to the variance.
        eps: Scalar,
    },
    /// The same of the running statistics, as in eval mode. Inputs: running, affine. Output: coefficients.
    NormFrozen {
        /// Channels.
        channels: usize,
        /// Added to the variance.
        eps: Scalar,
    },
    /// BatchNorm2d by its coefficients, then the residual added or not, then ReLU or not. Inputs: image, coefficients, and the residual
    /// where there is one.
    NormApply {
        /// Channels.
        channels: usize,
        /// Whether a residual is added before ReLU.
        residual: bool,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// The running statistics after a batch: each `(1 - momentum) * old + momentum * new`, where the new variance is the unbiased one and the
    /// momentum stands beside the old ones. Inputs: coefficients, running. Output: running.
    RunningStats {
        /// Channels.
        channels: usize,
        /// Values per channel of the batch.
        count: usize,
    },
    /// The gradients of gamma and beta, and what the gradient of the image needs of them. Inputs: image, gradient, coefficients.
    /// Output: sums.
    NormGradSums {
        /// Channels.
        channels: usize,
        /// Whether ReLU followed.
        relu: bool,
        /// Whether the statistics were the batch's, which depend on the image.
        batch: bool,
    },
    /// The gradient of a norm's image. Inputs: image, gradient, sums.
    NormGrad {
        /// Channels.
        channels: usize,
        /// Whether ReLU followed.
        relu: bool,
    },
    /// The gradient of what ReLU saw: that of its output where the output is positive. Inputs: gradient, output.
    ReluGrad {
        /// Channels.
        channels: usize,
    },
    /// The weights of the convolution by which a convolution of stride 1 hands gradients back ([`Conv::mirrored`]): inputs and outputs
    /// exchanged, taps turned round. Input: weights. Output: weights.
    MirroredWeights {
        /// The convolution whose weights are mirrored.
        conv: Conv,
    },
    /// The gradient of a convolution's image. Input: gradient; and the convolution's weights.
    InputGrad {
        /// The convolution.
        conv: Conv,
        /// The image's height, of which a stride does not tell.
        height: usize,
        /// The image's width.
        width: usize,
    },
    /// The gradient of a convolution's weights. Inputs: image, gradient. Output: weights.
    WeightGrad {
        /// The convolution.
        conv: Conv,
    },
    /// The gradient of a max pool's image: that of each window goes to its largest pixel, the first of equals, or the last NaN, as in
    /// PyTorch. Inputs: image, gradient.
    MaxPoolGrad {
        /// Channels.
        channels: usize,
        /// Where the windows begin.
        windows: PoolWindows,
    },
    /// The gradient of the image whose mean was taken: of every pixel the same. Input: gradient.
    AvgPoolGrad {
        /// Channels.
        channels: usize,
        /// The image's height.
        height: usize,
        /// The image's width.
        width: usize,
    },
    /// A number per channel added to every pixel. Inputs: image, bias.
    AddBias {
        /// Channels.
        channels: usize,
    },
    /// The gradient of that number: the sum over all pixels. Input: gradient.
    BiasGrad {
        /// Channels.
        channels: usize,
    },
    /// The cross entropy of scores and the target classes, as `torch.nn.functional.cross_entropy` has it, for each image, and how many classes
    /// score higher than the target: 0 where it is right. Inputs: scores, targets (the numbers of classes). Output: loss and rank.
    CrossEntropy {
        /// Classes.
        classes: usize,
        /// What of the target's share goes to all classes alike.
        smoothing: Scalar,
    },
    /// The gradient of the scores for the mean of the losses. Inputs: scores, targets.
    CrossEntropyGrad {
        /// Classes.
        classes: usize,
        /// As the loss's.
        smoothing: Scalar,
        /// Images that the mean is over: the batch's, or those of several batches.
        count: usize,
    },
    /// What steers an update, with `apply` off where a loss is not finite. Inputs: losses, control. Output: control.
    Gate,
    /// What an optimiser does.
    Update(UpdateOp),
}

impl TrainOp {
    /// The operation's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NormStats { .. } => "norm_stats",
            Self::NormFrozen { .. } => "norm_frozen",
            Self::NormApply { .. } => "norm_apply",
            Self::RunningStats { .. } => "running_stats",
            Self::NormGradSums { .. } => "norm_grad_sums",
            Self::NormGrad { .. } => "norm_grad",
            Self::ReluGrad { .. } => "relu_grad",
            Self::MirroredWeights { .. } => "mirrored_weights",
            Self::InputGrad { .. } => "input_grad",
            Self::WeightGrad { .. } => "weight_grad",
            Self::MaxPoolGrad { .. } => "max_pool_grad",
            Self::AvgPoolGrad { .. } => "avg_pool_grad",
            Self::AddBias { .. } => "add_bias",
            Self::BiasGrad { .. } => "bias_grad",
            Self::CrossEntropy { .. } => "cross_entropy",
            Self::CrossEntropyGrad { .. } => "cross_entropy_grad",
            Self::Gate => "gate",
            Self::Update(op) => op.name(),
        }
    }

    /// How many inputs the operation reads.
    #[must_use]
    pub const fn input_count(&self) -> usize {
        match self {
            Self::MirroredWeights { .. }
            | Self::InputGrad { .. }
            | Self::AvgPoolGrad { .. }
            | Self::BiasGrad { .. } => 1,
            Self::Update(op) => op.input_count(),
            Self::NormGradSums { .. } | Self::NormGrad { .. } | Self::NormApply { residual: true, .. } => 3,
            _ => 2,
        }
    }

    /// The shape of the output; that of weights is OIHW.
    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let per_channel = |channels: usize, numbers: usize| Shape { n: 1, c: channels, h: 1, w: numbers };
        let of = |channels: usize, image: Shape| super::same("input", Shape { c: channels, ..image }, image);
        match (*self, inputs) {
            (Self::NormStats { channels, .. }, &[image, affine]) => {
                of(channels, image)?;
                super::same("affine", per_channel(channels, 2), affine)?;
                Ok(per_channel(channels, NORM_COEFFICIENTS))
            }
            (Self::NormFrozen { channels, .. }, &[running, affine]) => {
                super::same("running", per_channel(channels, NORM_RUNNING), running)?;
                super::same("affine", per_channel(channels, 2), affine)?;
                Ok(per_channel(channels, NORM_COEFFICIENTS))
            }
            (Self::NormApply { channels, residual, .. }, &[image, coefficients, ref rest @ ..])
                if rest.len() == usize::from(residual) =>
            {
                super::same("coefficients", per_channel(channels, NORM_COEFFICIENTS), coefficients)?;
                rest.iter().try_for_each(|&residual| super::same("residual", image, residual).map(drop))?;
                of(channels, image)
            }
            (Self::RunningStats { channels, .. }, &[coefficients, running]) => {
                super::same("coefficients", per_channel(channels, NORM_COEFFICIENTS), coefficients)?;
                super::same("running", per_channel(channels, NORM_RUNNING), running)
            }
            (Self::NormGradSums { channels, .. }, &[image, gradient, coefficients]) => {
                super::same("gradient", of(channels, image)?, gradient)?;
                super::same("coefficients", per_channel(channels, NORM_COEFFICIENTS), coefficients)?;
                Ok(per_channel(channels, NORM_SUMS))
            }
            (Self::NormGrad { channels, .. }, &[image, gradient, sums]) => {
                super::same("sums", per_channel(channels, NORM_SUMS), sums)?;
                super::same("gradient", of(channels, image)?, gradient)
            }
            (Self::ReluGrad { channels }, &[gradient, output]) => {
                super::same("output", of(channels, gradient)?, output)
            }
            (Self::MirroredWeights { conv }, &[weights]) => {
                super::same("weights", conv.weight_shape(), weights)?;
                Ok(conv.mirrored().weight_shape())
            }
            (Self::InputGrad { conv, height, width }, &[gradient]) => {
                let image = Shape::new(gradient.n, conv.in_channels, height, width)?;
                super::same("gradient", conv.output_shape(image)?, gradient)?;
                Ok(image)
            }
            (Self::WeightGrad { conv }, &[image, gradient]) => {
                super::same("gradient", conv.output_shape(image)?, gradient)?;
                Ok(conv.weight_shape())
            }
            (Self::MaxPoolGrad { channels, windows }, &[image, gradient]) => {
                let pool = Op::MaxPool { channels, windows };
                super::same("gradient", pool.output_shape(&[image])?, gradient)?;
                Ok(image)
            }
            (Self::AvgPoolGrad { channels, height, width }, &[gradient]) => {
                super::same("gradient", Shape { c: channels, h: 1, w: 1, ..gradient }, gradient)?;
                Shape::new(gradient.n, channels, height, width)
            }
            (Self::AddBias { channels }, &[image, bias]) => {
                super::same("bias", per_channel(channels, 1), bias)?;
                of(channels, image)
            }
            (Self::BiasGrad { channels }, &[gradient]) => {
                of(channels, gradient)?;
                Ok(per_channel(channels, 1))
            }
            (Self::CrossEntropy { classes, .. } | Self::CrossEntropyGrad { classes, .. }, &[scores, targets]) => {
                super::same("scores", Shape { c: classes, h: 1, w: 1, ..scores }, scores)?;
                super::same("targets", Shape { c: 1, ..scores }, targets)?;
                Ok(if matches!(self, Self::CrossEntropy { .. }) { Shape { c: LOSSES, ..scores } } else { scores })
            }
            (Self::Gate, &[losses, control]) => {
                super::same("losses", Shape { c: LOSSES, h: 1, w: 1, ..losses }, losses)?;
                super::same("control", per_channel(1, super::CONTROL), control)
            }
            (Self::Update(op), inputs) => op.output_shape(inputs).unwrap_or_else(|| self.other_inputs(inputs)),
            _ => self.other_inputs(inputs),
        }
    }

    fn other_inputs(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let (expected, found) = (vec![self.input_count()], vec![inputs.len()]);
        Err(ShapeError::Mismatch { tensor: format!("inputs of {}", self.name()), expected, found })
    }

    /// Floating-point operations of the gradients of convolutions, two per multiply-add; the rest is bound by memory and not counted.
    /// Those of the gradient of weights depend on the image, and are for who knows it.
    pub(super) fn flops(&self, output: Shape) -> u64 {
        match self {
            Self::InputGrad { conv, .. } => conv.output_shape(output).map_or(0, |gradient| 2 * conv.macs(gradient)),
            _ => 0,
        }
    }

    /// Terms in the longest sum of an output value; of sums over a batch, which the operation does not know, one.
    pub(super) const fn reduction_length(&self) -> usize {
        match self {
            Self::InputGrad { conv, .. } => conv.out_per_group() * conv.taps(),
            _ => 1,
        }
    }
}
