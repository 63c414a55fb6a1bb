//! Checks when f32 arithmetic is exact. If every term of a sum is a multiple of a unit u (a power
//! of two) and the terms' absolute values add up to less than 2^24 u, then every partial sum in
//! every order is a multiple of u below 2^24 u, which f32 represents exactly. No rounding happens,
//! with or without fused multiply-add. This file measures this for a run of the reference.

use super::Tensor64;
use super::ops::apply;
use crate::op::{Op, StepParams, TrainOp};
use crate::tensor::Shape;

/// The worst sum of a run, in units.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExactBound {
    /// The largest sum of absolute terms, as a multiple of that sum's unit.
    pub worst: f64,
}

impl ExactBound {
    /// Whether f32 gives bit-identical results in any order of summation.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.worst < f64::from(1u32 << 24)
    }

    /// Includes the sums of one step. For a training operation without sums, with a few terms per
    /// value, checks whether f32 represents every value exactly.
    pub(super) fn widen(
        &mut self,
        op: &Op,
        params: &StepParams,
        inputs: &[&Tensor64],
        weights: Option<&Tensor64>,
        output: &Tensor64,
    ) {
        if matches!(op, Op::Train(op) if !has_sums(op)) {
            let held = |value: &f64| f64::from(*value as f32) == *value;
            self.worst = if output.data.iter().all(held) { self.worst } else { f64::INFINITY };
            return;
        }
        let mut unit = f64::INFINITY;
        for (values, weights) in factors(op, params, inputs, weights) {
            unit = unit.min(unit_of(values.data.iter().copied()) * unit_of(weights.into_iter()));
        }
        for added in addends(params) {
            unit = unit.min(unit_of(added.iter().copied().map(f64::from)));
        }
        let adds = matches!(op, Op::Add { .. } | Op::Train(TrainOp::BiasGrad { .. }))
            || matches!(op, Op::Conv { epilogue, .. } if epilogue.residual);
        if adds {
            inputs.iter().for_each(|tensor| unit = unit.min(unit_of(tensor.data.iter().copied())));
        }
        if matches!(op, Op::GlobalAvgPool { .. }) {
            // A sum of this number of values, then a division, which is exact for powers of two
            // only.
            let plane = inputs[0].shape.h * inputs[0].shape.w;
            let exact = if plane.is_power_of_two() { 1.0 / plane as f64 } else { 0.0 };
            unit = unit_of(inputs[0].data.iter().copied()) * exact;
        }
        let sums = absolute(op, params, inputs, weights, output.shape);
        // A sum of nothing but zeros has no unit and is exact.
        let worst = sums.into_iter().fold(0.0, f64::max);
        if worst > 0.0 {
            self.worst = self.worst.max(worst / unit);
        }
    }
}

/// Whether an operation of training sums over pixels or channels.
const fn has_sums(op: &TrainOp) -> bool {
    matches!(op, TrainOp::WeightGrad { .. } | TrainOp::InputGrad { .. } | TrainOp::BiasGrad { .. })
}

/// The pairs of tensors multiplied by a step.
fn factors<'a>(
    op: &Op,
    params: &StepParams,
    inputs: &[&'a Tensor64],
    weights: Option<&Tensor64>,
) -> Vec<(&'a Tensor64, Vec<f64>)> {
    let widened = |values: &[f32]| values.iter().copied().map(f64::from).collect();
    match (op, params, weights) {
        (Op::Train(TrainOp::WeightGrad { .. }), ..) => vec![(inputs[0], inputs[1].data.clone())],
        (_, _, Some(weights)) => vec![(inputs[0], weights.data.clone())],
        (_, StepParams::Conv { weight, .. }, _) => vec![(inputs[0], widened(weight))],
        (_, StepParams::JoinedConv { main, shortcut, .. }, _) => {
            vec![(inputs[0], widened(main)), (inputs[1], widened(shortcut))]
        }
        (_, StepParams::Affine { scale, .. }, _) => vec![(inputs[0], widened(scale))],
        (_, StepParams::None, _) => Vec::new(),
    }
}

/// The parameters added by a step.
fn addends(params: &StepParams) -> Vec<&[f32]> {
    match params {
        StepParams::Conv { bias, .. } | StepParams::JoinedConv { bias, .. } => vec![bias],
        StepParams::Affine { shift, .. } => vec![shift],
        StepParams::None => Vec::new(),
    }
}

/// The step applied to absolute values: the sum of its terms' absolute values.
fn absolute(
    op: &Op,
    params: &StepParams,
    inputs: &[&Tensor64],
    weights: Option<&Tensor64>,
    output: Shape,
) -> Vec<f64> {
    let positive = |values: &[f32]| values.iter().map(|value| value.abs()).collect::<Vec<f32>>();
    let params = match params {
        StepParams::Conv { weight, bias } => {
            StepParams::Conv { weight: positive(weight), bias: positive(bias) }
        }
        StepParams::JoinedConv { main, shortcut, bias } => StepParams::JoinedConv {
            main: positive(main),
            shortcut: positive(shortcut),
            bias: positive(bias),
        },
        StepParams::Affine { scale, shift } => {
            StepParams::Affine { scale: positive(scale), shift: positive(shift) }
        }
        StepParams::None => StepParams::None,
    };
    let positive = |tensor: &Tensor64| Tensor64 {
        shape: tensor.shape,
        data: tensor.data.iter().map(|value| value.abs()).collect(),
    };
    let inputs: Vec<Tensor64> = inputs.iter().map(|input| positive(input)).collect();
    apply(op, &params, &inputs.iter().collect::<Vec<_>>(), weights.map(positive).as_ref(), output)
}

/// The largest power of two that divides all values; infinite if all are zero.
fn unit_of(values: impl Iterator<Item = f64>) -> f64 {
    values.map(unit).fold(f64::INFINITY, f64::min)
}

/// The largest power of two that divides a value.
fn unit(value: f64) -> f64 {
    if value == 0.0 {
        return f64::INFINITY;
    }
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    let trailing = (fraction | 1 << 52).trailing_zeros() as i32;
    f64::powi(2.0, exponent - 1075 + trailing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_lowest_set_bits() {
        assert_eq!(unit(1.0), 1.0);
        assert_eq!(unit(-6.0), 2.0);
        assert_eq!(unit(0.375), 0.125);
        assert_eq!(unit_of([4.0, 0.0, 0.5].into_iter()), 0.5);
        assert_eq!(unit_of([0.0].into_iter()), f64::INFINITY);
    }
}
