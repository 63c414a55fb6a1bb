//! The tolerances of outputs: bit-identical to the reference, except for roots, divisions and
//! exponentials, and for Winograd convolutions.

use half::f16;

use super::case::Case;
use crate::kernel::Kernel;
use crate::op::{LOSSES, NORM_COEFFICIENTS, NORM_SUMS, Op, TrainOp, UpdateOp};
use crate::tensor::{Comparison, DType, HostTensor, Mismatch, Shape, Tolerance, compare_spread};

/// For divisions and roots of sums.
const NORM: Tolerance = Tolerance::relative(2e-5);

/// For one root and one division, or one exponential of a number near zero: WGSL permits errors of
/// some units in the last place.
const FEW_ROUNDINGS: Tolerance = Tolerance::relative(2e-6);

/// For a logarithm, for which WGSL permits an error of 2^-21 between 0.5 and 2, and exponentials,
/// minus a score, relative to a loss that may be small compared with both.
const LOSS: f64 = 1e-5;

impl Case {
    /// The tolerance for each part of the output ([`Case::part_of`]), relative to its largest
    /// value.
    pub(super) fn tolerances(&self) -> Vec<Tolerance> {
        let exact = Tolerance::EXACT;
        match self.op {
            // Mean and what is left of it, scale, beta, one over the deviation, variance.
            Op::Train(TrainOp::NormStats { .. }) => vec![NORM, exact, NORM, exact, NORM, NORM],
            Op::Train(TrainOp::NormFrozen { .. }) => vec![exact, exact, NORM, exact, NORM, exact],
            // The last two are divided by the pixels.
            Op::Train(TrainOp::NormGradSums { batch: true, .. })
                if self
                    .inputs
                    .first()
                    .is_some_and(|(item, _)| !item.pixels().is_power_of_two()) =>
            {
                let mut tolerances = vec![exact; NORM_SUMS];
                tolerances[NORM_SUMS - 2..].fill(NORM);
                tolerances
            }
            // The rounding errors of the scores add to the error of the loss.
            Op::Train(TrainOp::CrossEntropy { .. }) => {
                vec![Tolerance::relative(LOSS + self.rounding()), exact]
            }
            Op::Train(TrainOp::CrossEntropyGrad { .. }) => {
                vec![Tolerance::relative(FEW_ROUNDINGS.relative + self.rounding())]
            }
            Op::Train(TrainOp::Update(UpdateOp::AdamW { .. })) => vec![FEW_ROUNDINGS],
            _ => vec![exact],
        }
    }

    /// The rounding error of large scores.
    fn rounding(&self) -> f64 {
        match self.values {
            super::Values::Scores { around, .. } => around.get().abs() * 2e-7,
            _ => 0.0,
        }
    }

    /// The part of the output that a position belongs to: one for each number of a channel, and
    /// losses and ranks.
    fn part_of(&self, [_, channel, _, column]: [usize; 4]) -> usize {
        match self.op {
            Op::Train(TrainOp::CrossEntropy { .. }) => channel % LOSSES,
            _ => column,
        }
    }

    /// Compares an output with the expected one, part by part, up to the first mismatch. At
    /// positions for which `spreads` is true, NaN is also accepted.
    pub(super) fn compare(
        &self,
        kernel: Kernel,
        reads: &[HostTensor],
        [expected, found]: [&HostTensor; 2],
        spreads: impl Fn([usize; 4]) -> bool,
    ) -> Comparison {
        let tolerances = self.tolerances();
        if let [tolerance] = tolerances[..] {
            let tolerance =
                if kernel.winograd.is_some() { Tolerance::TRANSFORMED } else { tolerance };
            let in_half = (kernel.output_dtype == DType::F16).then(|| rounded_as(expected, found));
            return compare_spread(in_half.as_ref().unwrap_or(expected), found, tolerance, spreads);
        }
        let [expected, found] = [expected, found].map(|output| self.comparable(reads, output));
        let shape = expected.shape();
        let compared = |(part, tolerance): (usize, &Tolerance)| {
            let places: Vec<usize> =
                (0..shape.len()).filter(|&at| self.part_of(shape.position(at)) == part).collect();
            let flat = Shape { n: 1, c: 1, h: 1, w: places.len() };
            let values =
                |tensor: &HostTensor| HostTensor::from_fn(flat, |at| tensor.data()[places[at]]);
            let position = |[.., at]: [usize; 4]| shape.position(places[at]);
            let mut comparison =
                compare_spread(&values(&expected), &values(&found), *tolerance, |at| {
                    spreads(position(at))
                });
            comparison.mismatch =
                comparison.mismatch.map(|wrong| Mismatch { at: position(wrong.at), ..wrong });
            comparison
        };
        let mut all: Vec<Comparison> = tolerances.iter().enumerate().map(compared).collect();
        let at = all.iter().position(|comparison| !comparison.passed()).unwrap_or(0);
        all.swap_remove(at)
    }

    /// An output in a form suitable for comparison. For statistics, the sum of pivot and delta is
    /// the mean; as a difference from the channel's first value it has enough significant digits.
    fn comparable(&self, reads: &[HostTensor], output: &HostTensor) -> HostTensor {
        let Op::Train(TrainOp::NormStats { .. }) = self.op else { return output.clone() };
        let (item, plane) = (&reads[0], reads[0].shape().h * reads[0].shape().w);
        HostTensor::from_fn(output.shape(), |at| match at % NORM_COEFFICIENTS {
            0 => {
                let first = item.data()[at / NORM_COEFFICIENTS * plane];
                let [pivot, delta] = [0, 1].map(|next| f64::from(output.data()[at + next]));
                (pivot - f64::from(first) + delta) as f32
            }
            1 => 0.0,
            _ => output.data()[at],
        })
    }
}

/// The expected values in half precision: NaN on overflow; otherwise rounded to the nearest, or, if
/// that was found, towards zero, since a device may do either (Vulkan's "Precision and Operation of
/// SPIR-V Instructions").
fn rounded_as(expected: &HostTensor, found: &HostTensor) -> HostTensor {
    HostTensor::from_fn(expected.shape(), |at| {
        let (value, found) =
            (expected.data()[at], found.data().get(at).copied().unwrap_or_default());
        if value.is_finite() && f64::from(value.abs()) >= DType::F16.overflow() {
            return f32::NAN;
        }
        let nearest = f16::from_f32(value);
        let down = f16::from_bits(
            nearest.to_bits().wrapping_sub(u16::from(nearest.to_f32().abs() > value.abs())),
        );
        if found == down.to_f32() { found } else { nearest.to_f32() }
    })
}
