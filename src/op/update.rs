//! What an optimiser does with a parameter once its gradient is there, value by value. PyTorch's formulas, in its order.
//!
//! A parameter's value, its gradient and what the optimiser keeps of it lie alike. A norm's gradient is the beginning of its sums, whose first
//! two numbers per channel are those of gamma and beta. What changes from step to step is a tensor of one pixel, [`CONTROL`] numbers.

use super::{Scalar, same};
use crate::error::ShapeError;
use crate::tensor::Shape;

/// Numbers that steer an update, each a pixel of `[1, 1, 1, CONTROL]`:
///
/// ```text
/// rate     the learning rate
/// apply    1, or 0: nothing is updated
/// keep     1 where a gradient is added to those before, 0 where it is the first
/// first    Adam's correction of the mean, 1 / (1 - beta1^t)
/// second   and of the squares, 1 / sqrt(1 - beta2^t)
/// ```
pub const CONTROL: usize = 5;

/// One operation of an optimiser. Its inputs are listed with each variant; the last one always steers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpdateOp {
    /// The sum of gradients over several batches. Inputs: sum so far, gradient, control.
    Accumulate,
    /// SGD's velocity: `momentum * velocity + gradient + decay * value`. Inputs: velocity, gradient, value, control.
    Velocity {
        /// What is left of it at each step.
        momentum: Scalar,
        /// The weight decay.
        decay: Scalar,
    },
    /// SGD's step: `value - rate * velocity`, or, by Nesterov, `value - rate * (gradient + decay * value + momentum * velocity)`. Inputs: value,
    /// gradient, velocity, control.
    Descend {
        /// As the velocity's.
        momentum: Scalar,
        /// The weight decay.
        decay: Scalar,
        /// Whether the step looks ahead.
        nesterov: bool,
    },
    /// One of Adam's running means: `beta * before + (1 - beta) * gradient`, or of the gradient squared. Inputs: before, gradient, control.
    Moment {
        /// What is left of it at each step.
        beta: Scalar,
        /// Whether of the squares.
        squares: bool,
    },
    /// AdamW's step: `value * (1 - rate * decay) - rate * first * mean / (sqrt(squares) * second + eps)`. Inputs: value, mean, squares, control.
    AdamW {
        /// Added to the root.
        eps: Scalar,
        /// The weight decay, apart from the gradient.
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

    /// How many inputs the operation reads.
    #[must_use]
    pub const fn input_count(&self) -> usize {
        match self {
            Self::Accumulate | Self::Moment { .. } => 3,
            Self::Velocity { .. } | Self::Descend { .. } | Self::AdamW { .. } => 4,
        }
    }

    /// Which input is the gradient, where there is one: it alone may go on behind the value's end.
    const fn gradient(&self) -> Option<usize> {
        match self {
            Self::AdamW { .. } => None,
            _ => Some(1),
        }
    }

    /// The shape of the output, which is the first input's; `None` for another number of inputs.
    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Option<Result<Shape, ShapeError>> {
        let (control, tensors) = inputs.split_last()?;
        let (first, others) = tensors.split_first()?;
        let check = || {
            same("control", Shape { n: 1, c: 1, h: 1, w: CONTROL }, *control)?;
            for (at, &other) in (1..).zip(others) {
                // A norm's gradient is the beginning of more numbers.
                let longer = self.gradient() == Some(at) && other.w > first.w && first.n == 1 && first.h == 1;
                same("beside the first input", *first, if longer { Shape { w: first.w, ..other } } else { other })?;
            }
            Ok(*first)
        };
        (inputs.len() == self.input_count()).then(check)
    }
}
