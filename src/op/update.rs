//! The operations of an optimiser, applied to a parameter value by value once its gradient is
//! known. They use PyTorch's formulas, in the same order of operations.
//!
//! A parameter's value, its gradient and its optimiser state have the same layout. A norm's
//! gradient is the beginning of its sums, whose first two values per channel are the gradients of
//! gamma and beta. Values that change between steps are a tensor of one pixel with [`CONTROL`]
//! values.

use super::Scalar;
use super::shape_check::same;
use crate::error::ShapeError;
use crate::tensor::Shape;

/// Values that control an update, each a pixel of `[1, 1, 1, CONTROL]`:
///
/// ```text
/// rate     the learning rate
/// apply    1, or 0: nothing is updated
/// keep     1 if a gradient is added to earlier ones, 0 if it is the first
/// first    Adam's correction of the mean, 1 / (1 - beta1^t)
/// second   Adam's correction of the squares, 1 / sqrt(1 - beta2^t)
/// ```
pub const CONTROL: usize = 5;

/// One operation of an optimiser. Its inputs are listed with each variant; the last one is always
/// the control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpdateOp {
    /// The sum of gradients over several batches. Inputs: sum so far, gradient, control.
    Accumulate,
    /// SGD's velocity: `momentum * velocity + gradient + decay * value`. Inputs: velocity,
    /// gradient, value, control.
    Velocity {
        /// The factor that multiplies the velocity at each step.
        momentum: Scalar,
        /// The weight decay.
        decay: Scalar,
    },
    /// SGD's step: `value - rate * velocity`, or, with Nesterov momentum,
    /// `value - rate * (gradient + decay * value + momentum * velocity)`. Inputs: value, gradient,
    /// velocity, control.
    Descend {
        /// As in the velocity.
        momentum: Scalar,
        /// The weight decay.
        decay: Scalar,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
    /// One of Adam's running means: `beta * before + (1 - beta) * gradient`, or the same for the
    /// squared gradient. Inputs: before, gradient, control.
    Moment {
        /// The factor that multiplies the mean at each step.
        beta: Scalar,
        /// Whether the gradient is squared.
        squares: bool,
    },
    /// AdamW's step:
    /// `value * (1 - rate * decay) - rate * first * mean / (sqrt(squares) * second + eps)`. Inputs:
    /// value, mean, squares, control.
    AdamW {
        /// Added to the square root.
        eps: Scalar,
        /// The weight decay, decoupled from the gradient.
        decay: Scalar,
    },
}

impl UpdateOp {
    /// The operation's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accumulate => "accumulate",
            Self::Velocity { .. } => "velocity",
            Self::Descend { .. } => "descend",
            Self::Moment { .. } => "moment",
            Self::AdamW { .. } => "adamw",
        }
    }

    /// The number of inputs.
    #[must_use]
    pub const fn input_count(&self) -> usize {
        match self {
            Self::Accumulate | Self::Moment { .. } => 3,
            Self::Velocity { .. } | Self::Descend { .. } | Self::AdamW { .. } => 4,
        }
    }

    /// Index of the gradient among the inputs, if any: only the gradient may be longer than the
    /// value.
    const fn gradient(&self) -> Option<usize> {
        match self {
            Self::AdamW { .. } => None,
            _ => Some(1),
        }
    }

    /// The shape of the output, equal to that of the first input; `None` for a different number of
    /// inputs.
    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Option<Result<Shape, ShapeError>> {
        let (control, tensors) = inputs.split_last()?;
        let (first, others) = tensors.split_first()?;
        let check = || {
            same("control", Shape { n: 1, c: 1, h: 1, w: CONTROL }, *control)?;
            for (at, &other) in (1..).zip(others) {
                // A norm's gradient is the beginning of a longer row of values.
                let longer = self.gradient() == Some(at)
                    && other.w > first.w
                    && first.n == 1
                    && first.h == 1;
                same(
                    "an input after the first",
                    *first,
                    if longer { Shape { w: first.w, ..other } } else { other },
                )?;
            }
            Ok(*first)
        };
        (inputs.len() == self.input_count()).then(check)
    }
}
