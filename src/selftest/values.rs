//! The values of a case's inputs: small integers and, for tensors that are not images, values for
//! which f32 is exact if the operation permits.

use super::seeded::{Seeded, integer_weights, small_integers, with_non_finite};
use crate::op::{Op, Scalar, TrainOp, UpdateOp};
use crate::tensor::{DType, HostTensor, Shape};

/// The kind of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Values {
    /// Determined by the operation.
    Plain,
    /// An update with these control flags.
    Steered {
        /// Whether the update is applied.
        apply: bool,
        /// Whether a gradient is added to the previous ones.
        keep: bool,
    },
    /// Scores with this spread around a centre.
    Scores {
        /// The largest difference.
        spread: Scalar,
        /// The centre.
        around: Scalar,
    },
    /// Losses, with these bits in the middle one.
    Loss(u32),
}

/// Means of channels whose variance is about one.
const MEANS: [f32; 7] = [0.0, 1.5, -3.0, 50.0, 1000.0, -1000.0, 0.1];
/// Pivots; next to the large ones, a value minus pivot minus delta is exact only in this order.
const PIVOTS: [f32; 7] = [0.0, 4.0, -2.0, 4_194_304.0, 7.0, -4_194_304.0, 1.0];
const DELTAS: [f32; 4] = [0.25, 0.0, -0.5, 0.125];
const SCALES: [f32; 5] = [1.0, -2.0, 0.5, -0.5, 2.0];
const BETAS: [f32; 3] = [0.0, 0.25, -1.0];
/// Reciprocals of standard deviations.
const INVERSES: [f32; 4] = [0.5, 2.0, 1.0, 4.0];
const VARIANCES: [f32; 5] = [4.0, 1.0, 2.5, 0.0, 0.5];
/// The share of a value, and of all values, in the gradient of an image.
const OF_VARIANCE: [f32; 3] = [0.25, -0.5, 1.0];
const OF_MEAN: [f32; 4] = [0.5, -0.25, 0.125, 0.0];
/// PyTorch's momentum.
const MOMENTA: [f32; 3] = [0.5, 0.25, 1.0];

impl Values {
    /// The tensor that an operation reads as the input with this index; the weights follow the
    /// inputs.
    pub(super) fn of(self, op: &Op, index: usize, shape: Shape) -> HostTensor {
        let integers = || small_integers(shape, index as u64 + 1);
        let op = match op {
            Op::Train(op) => op,
            // Weights, of which none is zero.
            Op::Conv { conv, .. } if index >= op.input_count() => {
                let weights = integer_weights(conv, usize::MAX, true, &mut Seeded::new(7));
                return HostTensor::from_fn(shape, |at| weights[at]);
            }
            _ => return integers(),
        };
        let per_channel = |numbers: &dyn Fn(usize, usize) -> f32| {
            HostTensor::from_fn(shape, |at| numbers(at / shape.w % shape.c, at % shape.w))
        };
        match (*op, index) {
            (TrainOp::NormStats { .. }, 0) => around_means(shape),
            (TrainOp::NormStats { .. } | TrainOp::NormFrozen { .. }, 1) => per_channel(&affine),
            (TrainOp::NormFrozen { .. }, 0) | (TrainOp::RunningStats { .. }, 1) => {
                per_channel(&running)
            }
            (TrainOp::RunningStats { .. }, 0) => per_channel(&|channel, at| match at {
                0 => of(&MEANS[..3], channel),
                _ => coefficient(channel, at),
            }),
            (TrainOp::NormApply { .. }, 1) | (TrainOp::NormGradSums { .. }, 2) => {
                per_channel(&coefficient)
            }
            (TrainOp::NormGrad { .. }, 2) => per_channel(&sum),
            (
                TrainOp::NormApply { .. } | TrainOp::NormGradSums { .. } | TrainOp::NormGrad { .. },
                0,
            ) => {
                let near = integers();
                let pivot = |at: usize| of(&PIVOTS, at / (shape.h * shape.w) % shape.c);
                HostTensor::from_fn(shape, |at| pivot(at) + near.data()[at])
            }
            (TrainOp::CrossEntropy { .. } | TrainOp::CrossEntropyGrad { .. }, 0) => {
                self.scores(shape)
            }
            (
                TrainOp::CrossEntropy { classes, .. } | TrainOp::CrossEntropyGrad { classes, .. },
                _,
            ) => HostTensor::from_fn(shape, |at| ((at * 5 + classes - 1) % classes) as f32),
            (TrainOp::Gate, 0) => self.losses(shape),
            (TrainOp::Gate, _) => self.control(shape),
            (TrainOp::Update(update), _) if index + 1 == update.input_count() => {
                self.control(shape)
            }
            // What was there before the first gradient may be anything.
            (TrainOp::Update(UpdateOp::Accumulate), 0)
                if matches!(self, Self::Steered { keep: false, .. }) =>
            {
                HostTensor::from_fn(shape, |at| if at.is_multiple_of(2) { f32::NAN } else { 1.0 })
            }
            // Squares are not negative.
            (TrainOp::Update(UpdateOp::AdamW { .. }), 2) => {
                HostTensor::from_fn(shape, |at| (at % 5) as f32 + 0.1)
            }
            _ => integers(),
        }
    }

    fn scores(self, shape: Shape) -> HostTensor {
        let (spread, around) = match self {
            Self::Scores { spread, around } => (spread.get() as f32, around.get() as f32),
            _ => (1.0, 0.0),
        };
        HostTensor::from_fn(shape, |at| {
            around + spread * (((at * 7919 + 13) % 1009) as f32 / 504.5 - 1.0)
        })
    }

    fn losses(self, shape: Shape) -> HostTensor {
        let per_item = shape.len() / shape.n;
        let middle = shape.n / 2 * per_item;
        HostTensor::from_fn(shape, |at| match self {
            Self::Loss(bits) if at == middle => f32::from_bits(bits),
            // The gate must ignore a rank that is NaN.
            _ if at % per_item != 0 => f32::NAN,
            _ => (at % 9) as f32 - 1.0,
        })
    }

    /// Values that are exact: a rate of a half, and corrections of two and four.
    fn control(self, shape: Shape) -> HostTensor {
        let (apply, keep) = match self {
            Self::Steered { apply, keep } => (apply, keep),
            _ => (true, true),
        };
        let numbers = [0.5, f32::from(u8::from(apply)), f32::from(u8::from(keep)), 2.0, 4.0];
        HostTensor::from_fn(shape, |at| numbers[at])
    }
}

/// The number of a list for a channel.
fn of(list: &[f32], channel: usize) -> f32 {
    list[channel % list.len()]
}

/// Images whose channels differ in mean and spread.
fn around_means(shape: Shape) -> HostTensor {
    let (noise, plane) = (small_integers(shape, 5), shape.h * shape.w);
    HostTensor::from_fn(shape, |at| {
        of(&MEANS, at / plane % shape.c)
            + noise.data()[at] * 0.37
            + ((at * 7919) % 1009) as f32 / 1009.0
    })
}

/// Values for gamma and beta that are not exact.
fn affine(channel: usize, at: usize) -> f32 {
    [[1.3, -0.7, 0.4], [-0.211, 0.173, 0.9]][at][channel % 3]
}

/// Running mean, variance and momentum.
fn running(channel: usize, at: usize) -> f32 {
    [of(&BETAS, channel + 1), of(&VARIANCES, channel + 1), of(&MOMENTA, channel)][at]
}

/// A norm's coefficients.
fn coefficient(channel: usize, at: usize) -> f32 {
    let lists: [&[f32]; 6] = [&PIVOTS, &DELTAS, &SCALES, &BETAS, &INVERSES, &VARIANCES];
    of(lists[at], channel)
}

/// The sums from which the gradient of a norm's image is computed.
fn sum(channel: usize, at: usize) -> f32 {
    let lists: [&[f32]; 8] =
        [&MEANS, &BETAS, &PIVOTS, &DELTAS, &SCALES, &BETAS, &OF_VARIANCE, &OF_MEAN];
    of(lists[at], channel)
}

/// An input with NaN and infinities, except for class indices and control values.
pub(super) fn special(op: &Op, index: usize, tensor: &HostTensor) -> HostTensor {
    let steers = match op {
        Op::Train(TrainOp::CrossEntropy { .. } | TrainOp::CrossEntropyGrad { .. }) => index == 1,
        Op::Train(TrainOp::Update(update)) => index + 1 == update.input_count(),
        _ => false,
    };
    if steers {
        return tensor.clone();
    }
    if matches!(op, Op::Train(TrainOp::CrossEntropy { .. } | TrainOp::CrossEntropyGrad { .. })) {
        return odd_scores(tensor);
    }
    // Where values are too large for half precision, either way.
    if let Op::Convert { to: DType::F16, .. } = op {
        let odd = with_non_finite(tensor, 0);
        let large = |at: usize| {
            [(1, 65520.0), (3, -7e4)]
                .iter()
                .find(|(index, _)| *index == at)
                .map(|(_, value)| *value)
        };
        return HostTensor::from_fn(tensor.shape(), |at| large(at).unwrap_or(odd.data()[at]));
    }
    // A max pool needs the non-finite values at other positions: its first value is in the middle
    // of a window.
    let pool = matches!(op, Op::MaxPool { .. } | Op::Train(TrainOp::MaxPoolGrad { .. }));
    with_non_finite(tensor, if pool { 1 } else { index })
}

/// Scores with one non-finite value in some images: an infinity hides everything else in its image.
/// NaN is the score of the first class in one image and of the second in another, as the first is
/// also the first candidate for the maximum.
fn odd_scores(scores: &HostTensor) -> HostTensor {
    let Shape { n, c, .. } = scores.shape();
    let mut values = scores.data().to_vec();
    values[n * c - 1] = f32::INFINITY;
    values[n / 3 * c] = f32::NAN;
    values[n / 2 * c + 1 % c] = f32::NAN;
    values[0] = f32::NEG_INFINITY;
    HostTensor::from_fn(scores.shape(), |at| values[at])
}
