//! The operations of training: norms with batch statistics, and the gradients of all operations.
//!
//! Every operation writes one tensor. A norm's values per channel are a tensor of one image and one
//! row, with one pixel for each value:
//!
//! ```text
//! affine        [1, C, 1, 2]   gamma, beta
//! running       [1, C, 1, 3]   running_mean, running_var, momentum
//! coefficients  [1, C, 1, 6]   pivot, delta, scale, beta, 1 / sqrt(var + eps), var
//! sums          [1, C, 1, 8]   grad gamma, grad beta, pivot, delta, scale, beta, k1, k0
//! ```
//!
//! The momentum is PyTorch's: the weight of the next batch in the running statistics. For the
//! lengths see [`NORM_RUNNING`], [`NORM_COEFFICIENTS`] and [`NORM_SUMS`].
//!
//! The mean is pivot + delta, where the pivot is one of the values. In f32, the difference between
//! a value and the pivot is exact or nearly so for any mean, and so is the norm's output.

use super::shape_check::same;
use super::{CONTROL, Conv, PoolWindows, Scalar, UpdateOp};
use crate::error::ShapeError;
use crate::tensor::Shape;

/// Values per channel in a norm's running statistics.
pub const NORM_RUNNING: usize = 3;

/// Values per channel in a norm's statistics.
pub const NORM_COEFFICIENTS: usize = 6;

/// Values per channel in the sums of a norm's gradient.
pub const NORM_SUMS: usize = 8;

/// Values per image in the losses: the loss, and the rank of the target.
pub const LOSSES: usize = 2;

/// One operation of training. Its inputs are listed with each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrainOp {
    /// Mean and biased variance of each channel over a batch, and the coefficients of the norm.
    /// Inputs: image, affine. Output: coefficients.
    NormStats {
        /// Channels.
        channels: usize,
        /// Added to the variance.
        eps: Scalar,
    },
    /// The same from the running statistics, as in eval mode. Inputs: running, affine. Output:
    /// coefficients.
    NormFrozen {
        /// Channels.
        channels: usize,
        /// Added to the variance.
        eps: Scalar,
    },
    /// BatchNorm2d from its coefficients, then an optional residual and an optional ReLU. Inputs:
    /// image, coefficients, and the residual if there is one.
    NormApply {
        /// Channels.
        channels: usize,
        /// Whether a residual is added before ReLU.
        residual: bool,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// The running statistics after a batch: each is `(1 - momentum) * old + momentum * new`. The
    /// new variance is the unbiased one, and the momentum is stored with the old statistics.
    /// Inputs: coefficients, running. Output: running.
    RunningStats {
        /// Channels.
        channels: usize,
        /// Values per channel in the batch.
        count: usize,
    },
    /// The gradients of gamma and beta, and the sums that the image's gradient depends on. Inputs:
    /// image, gradient, coefficients. Output: sums.
    NormGradSums {
        /// Channels.
        channels: usize,
        /// Whether ReLU followed.
        relu: bool,
        /// Whether batch statistics were used, which depend on the image.
        batch: bool,
    },
    /// The gradient of a norm's input image. Inputs: image, gradient, sums.
    NormGrad {
        /// Channels.
        channels: usize,
        /// Whether ReLU followed.
        relu: bool,
    },
    /// The gradient of ReLU's input: the gradient of its output where the output is positive.
    /// Inputs: gradient, output.
    ReluGrad {
        /// Channels.
        channels: usize,
    },
    /// The weights of the convolution that propagates gradients back through a convolution of
    /// stride 1 ([`Conv::mirrored`]): inputs and outputs exchanged, taps reversed. Input: weights.
    /// Output: weights.
    MirroredWeights {
        /// The convolution whose weights are mirrored.
        conv: Conv,
    },
    /// The gradient of a convolution's input image. Input: gradient; and the convolution's weights.
    InputGrad {
        /// The convolution.
        conv: Conv,
        /// The image's height, which a stride does not determine.
        height: usize,
        /// The image's width.
        width: usize,
    },
    /// The gradient of a convolution's weights. Inputs: image, gradient. Output: weights.
    WeightGrad {
        /// The convolution.
        conv: Conv,
    },
    /// The gradient of a max pool's input image. The gradient of each window goes to its largest
    /// pixel: the first of equal ones, or the last NaN, as in PyTorch. Inputs: image, gradient.
    MaxPoolGrad {
        /// Channels.
        channels: usize,
        /// Where the windows begin.
        windows: PoolWindows,
    },
    /// The gradient of an average pool's input image, equal for all pixels. Input: gradient.
    AvgPoolGrad {
        /// Channels.
        channels: usize,
        /// The image's height.
        height: usize,
        /// The image's width.
        width: usize,
    },
    /// Adds a bias per channel to every pixel. Inputs: image, bias.
    AddBias {
        /// Channels.
        channels: usize,
    },
    /// The gradient of that bias: the sum over all pixels. Input: gradient.
    BiasGrad {
        /// Channels.
        channels: usize,
    },
    /// For each image, the cross entropy of scores and target class, as in
    /// `torch.nn.functional.cross_entropy`, and the number of classes that score higher than the
    /// target: 0 if the prediction is right. Inputs: scores, targets (class indices). Output: loss
    /// and rank.
    CrossEntropy {
        /// Classes.
        classes: usize,
        /// The part of the target's weight that is spread evenly over all classes.
        smoothing: Scalar,
    },
    /// The gradient of the scores for the mean of the losses. Inputs: scores, targets.
    CrossEntropyGrad {
        /// Classes.
        classes: usize,
        /// As in the loss.
        smoothing: Scalar,
        /// The number of images in the mean: those of the batch, or of several batches.
        count: usize,
    },
    /// The control of an update, with `apply` set to 0 if a loss is not finite. Inputs: losses,
    /// control. Output: control.
    Gate,
    /// An operation of an optimiser.
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

    /// The number of inputs.
    #[must_use]
    pub const fn input_count(&self) -> usize {
        match self {
            Self::MirroredWeights { .. }
            | Self::InputGrad { .. }
            | Self::AvgPoolGrad { .. }
            | Self::BiasGrad { .. } => 1,
            Self::Update(op) => op.input_count(),
            Self::NormGradSums { .. }
            | Self::NormGrad { .. }
            | Self::NormApply { residual: true, .. } => 3,
            _ => 2,
        }
    }

    /// The shape of the output; OIHW for weights.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per operation")]
    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let per_channel =
            |channels: usize, numbers: usize| Shape { n: 1, c: channels, h: 1, w: numbers };
        let of =
            |channels: usize, image: Shape| same("input", Shape { c: channels, ..image }, image);
        match (*self, inputs) {
            (Self::NormStats { channels, .. }, &[image, affine]) => {
                of(channels, image)?;
                same("affine", per_channel(channels, 2), affine)?;
                Ok(per_channel(channels, NORM_COEFFICIENTS))
            }
            (Self::NormFrozen { channels, .. }, &[running, affine]) => {
                same("running", per_channel(channels, NORM_RUNNING), running)?;
                same("affine", per_channel(channels, 2), affine)?;
                Ok(per_channel(channels, NORM_COEFFICIENTS))
            }
            (Self::NormApply { channels, residual, .. }, &[image, coefficients, ref rest @ ..])
                if rest.len() == usize::from(residual) =>
            {
                same("coefficients", per_channel(channels, NORM_COEFFICIENTS), coefficients)?;
                rest.iter()
                    .try_for_each(|&residual| same("residual", image, residual).map(drop))?;
                of(channels, image)
            }
            (Self::RunningStats { channels, .. }, &[coefficients, running]) => {
                same("coefficients", per_channel(channels, NORM_COEFFICIENTS), coefficients)?;
                same("running", per_channel(channels, NORM_RUNNING), running)
            }
            (Self::NormGradSums { channels, .. }, &[image, gradient, coefficients]) => {
                same("gradient", of(channels, image)?, gradient)?;
                same("coefficients", per_channel(channels, NORM_COEFFICIENTS), coefficients)?;
                Ok(per_channel(channels, NORM_SUMS))
            }
            (Self::NormGrad { channels, .. }, &[image, gradient, sums]) => {
                same("sums", per_channel(channels, NORM_SUMS), sums)?;
                same("gradient", of(channels, image)?, gradient)
            }
            (Self::ReluGrad { channels }, &[gradient, output]) => {
                same("output", of(channels, gradient)?, output)
            }
            (Self::MirroredWeights { conv }, &[weights]) => {
                same("weights", conv.weight_shape(), weights)?;
                Ok(conv.mirrored().weight_shape())
            }
            (Self::InputGrad { conv, height, width }, &[gradient]) => {
                let image = Shape::new(gradient.n, conv.in_channels, height, width)?;
                same("gradient", conv.output_shape(image)?, gradient)?;
                Ok(image)
            }
            (Self::WeightGrad { conv }, &[image, gradient]) => {
                same("gradient", conv.output_shape(image)?, gradient)?;
                Ok(conv.weight_shape())
            }
            (Self::MaxPoolGrad { channels, windows }, &[image, gradient]) => {
                same("gradient", windows.output_shape(channels, image)?, gradient)?;
                Ok(image)
            }
            (Self::AvgPoolGrad { channels, height, width }, &[gradient]) => {
                same("gradient", Shape { c: channels, h: 1, w: 1, ..gradient }, gradient)?;
                Shape::new(gradient.n, channels, height, width)
            }
            (Self::AddBias { channels }, &[image, bias]) => {
                same("bias", per_channel(channels, 1), bias)?;
                of(channels, image)
            }
            (Self::BiasGrad { channels }, &[gradient]) => {
                of(channels, gradient)?;
                Ok(per_channel(channels, 1))
            }
            (
                Self::CrossEntropy { classes, .. } | Self::CrossEntropyGrad { classes, .. },
                &[scores, targets],
            ) => {
                same("scores", Shape { c: classes, h: 1, w: 1, ..scores }, scores)?;
                same("targets", Shape { c: 1, ..scores }, targets)?;
                Ok(if matches!(self, Self::CrossEntropy { .. }) {
                    Shape { c: LOSSES, ..scores }
                } else {
                    scores
                })
            }
            (Self::Gate, &[losses, control]) => {
                same("losses", Shape { c: LOSSES, h: 1, w: 1, ..losses }, losses)?;
                same("control", per_channel(1, CONTROL), control)
            }
            (Self::Update(op), inputs) => {
                op.output_shape(inputs).unwrap_or_else(|| self.other_inputs(inputs))
            }
            _ => self.other_inputs(inputs),
        }
    }

    fn other_inputs(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let (expected, found) = (vec![self.input_count()], vec![inputs.len()]);
        Err(ShapeError::Mismatch { tensor: format!("inputs of {}", self.name()), expected, found })
    }

    /// Floating-point operations of the gradients of convolutions, two per multiply-add; the other
    /// operations are memory-bound and not counted. The gradient of weights depends on the image
    /// and is counted by [`Plan::step_flops`](crate::plan::Plan::step_flops).
    pub(super) fn flops(&self, output: Shape) -> u64 {
        match self {
            Self::InputGrad { conv, .. } => conv
                .output_shape(output)
                .map_or(0, |gradient| conv.macs(gradient).saturating_mul(2)),
            _ => 0,
        }
    }

    /// Terms in the longest sum of an output value; 1 for sums over a batch, whose size the
    /// operation does not know.
    pub(super) const fn reduction_length(&self) -> usize {
        match self {
            Self::InputGrad { conv, .. } => conv.out_per_group().saturating_mul(conv.taps()),
            _ => 1,
        }
    }
}
