//! Scales half-precision weights whose norm is a separate step.
//!
//! Such weights can have any magnitude, because the norm compensates: a norm with small variance
//! scales the small outputs of a convolution up to the normal range. But f16 ends at 65504 and
//! loses digits below 6.1e-5. So each output channel's weights are multiplied by a power of two
//! that brings the largest to the upper end of f16, and the norm's scale of that channel is divided
//! by it. Both are exact, and the tensor between the two steps is f32. Folded weights do not need
//! this: they have the magnitude of their outputs.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Plan, Step, TensorId};
use crate::op::{Op, StepParams};
use crate::tensor::DType;

/// The exponent to which the largest weight of a channel is scaled: from 2^14 to 2^15, a factor of
/// two below the overflow of f16.
const LARGEST: i32 = 14;

/// The largest absolute exponent of such a power of two: with it, a norm's scale stays in the
/// normal range of f32. Weights that would need a larger one stay unchanged, and are rejected
/// because f16 cannot represent them.
const MOST: i32 = 64;

/// The powers of two by which convolutions were scaled, until their norms are processed.
#[derive(Debug, Default)]
pub(crate) struct Pow2Scale {
    /// The exponents of each channel of a tensor.
    exponents: HashMap<TensorId, Vec<i32>>,
}

impl Pow2Scale {
    /// A step's parameters, which must fit it, as the device uses them. Steps must come in the
    /// plan's order.
    pub fn params<'a>(
        &mut self,
        plan: &Plan,
        step: &Step,
        params: Cow<'a, StepParams>,
    ) -> Cow<'a, StepParams> {
        match (step.op, &*params) {
            (Op::Conv { conv, .. }, StepParams::Conv { weight, bias })
                if plan.is_balanced(step) =>
            {
                let channels = weight.chunks(weight.len() / conv.out_channels);
                let exponents: Vec<i32> = channels.clone().map(exponent).collect();
                let scaled = |(channel, &exponent): (&[f32], &i32)| {
                    times(channel, exponent).collect::<Vec<f32>>()
                };
                let weight = channels.zip(&exponents).flat_map(scaled).collect();
                self.exponents.insert(step.output, exponents);
                Cow::Owned(StepParams::Conv { weight, bias: bias.clone() })
            }
            (Op::BatchNorm { .. }, StepParams::Affine { scale, shift }) => match self
                .exponents
                .get(&step.inputs[0])
            {
                Some(exponents) => {
                    let scale = scale
                        .iter()
                        .zip(exponents)
                        .map(|(scale, exponent)| scale * power(-exponent));
                    Cow::Owned(StepParams::Affine { scale: scale.collect(), shift: shift.clone() })
                }
                None => params,
            },
            _ => params,
        }
    }
}

impl Plan {
    /// Whether a step is a half-precision convolution whose output is read only by norms.
    fn is_balanced(&self, step: &Step) -> bool {
        let norms = |reader: &Step| matches!(reader.op, Op::BatchNorm { .. });
        let mut readers =
            self.steps.iter().filter(|reader| reader.reads().any(|id| id == step.output));
        self.is_before_norm(step)
            && self.problem(step).dtype == DType::F16
            && self.tensor(step.output).dtype == DType::F32
            && self.output != step.output
            && !self.fetches.contains(&step.output)
            && readers.all(norms)
    }
}

/// The exponent of the power of two for a channel of these weights.
fn exponent(weights: &[f32]) -> i32 {
    let largest = weights.iter().fold(0.0, |most: f32, weight| most.max(weight.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return 0;
    }
    // The exponent of a normal f64, which every f32 is.
    let of_largest = (f64::from(largest).to_bits() >> 52) as i32 - 1023;
    let exponent = LARGEST - of_largest;
    if exponent.abs() > MOST { 0 } else { exponent }
}

fn times(values: &[f32], exponent: i32) -> impl Iterator<Item = f32> {
    let by = power(exponent);
    values.iter().map(move |value| value * by)
}

/// 2 to this power, whose absolute value is at most [`MOST`]; exact.
fn power(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ShapeError;
    use crate::op::{Conv, Epilogue};
    use crate::plan::{PlanKind, Role, TensorInfo};
    use crate::tensor::{ChannelLayout, Shape};

    /// A convolution of this element type, and its norm.
    fn conv_and_norm(dtype: DType) -> Result<Plan, ShapeError> {
        let (shape, layout) = (Shape::new(1, 4, 5, 5)?, ChannelLayout::dense(4));
        let tensor =
            |name: &str, dtype| TensorInfo { dtype, ..TensorInfo::pixels(name, shape, layout) };
        let mut plan = Plan::new(PlanKind::Unfused, tensor("input", dtype));
        plan.tensors.extend([tensor("sums", DType::F32), tensor("output", dtype)]);
        let conv = Op::Conv { conv: Conv::conv1x1(4, 4, 1), epilogue: Epilogue::default() };
        let norm = Op::BatchNorm { channels: 4, relu: true };
        for (index, (role, op)) in [(Role::Conv1, conv), (Role::Bn1, norm)].into_iter().enumerate()
        {
            let (inputs, output) = (vec![TensorId(index)], TensorId(index + 1));
            plan.steps.push(Step {
                block: 0,
                module: role.name().to_owned(),
                role,
                op,
                inputs,
                weights: None,
                output,
            });
            plan.output = output;
        }
        Ok(plan)
    }

    /// If anything but a norm reads a convolution's sums, they must stay unscaled.
    #[test]
    fn sums_that_others_see_are_left_alone() -> Result<(), ShapeError> {
        let plan = conv_and_norm(DType::F16)?;
        let is_balanced = |plan: &Plan| plan.is_balanced(&plan.steps[0]);
        assert!(is_balanced(&plan) && !plan.is_balanced(&plan.steps[1]));
        assert!(!is_balanced(&conv_and_norm(DType::F32)?), "in f32");
        let sums = plan.steps[0].output;
        assert!(!is_balanced(&Plan { fetches: vec![sums], ..plan.clone() }), "fetches");
        assert!(!is_balanced(&Plan { output: sums, ..plan.clone() }), "the output");
        let mut several = plan.clone();
        several.steps.push(several.steps[1].clone());
        assert!(is_balanced(&several), "read by two norms");
        several
            .steps
            .push(Step { op: Op::Add { channels: 4, relu: false }, ..several.steps[1].clone() });
        assert!(!is_balanced(&several), "read by an addition");
        Ok(())
    }

    #[test]
    fn channels_are_brought_to_the_upper_end_of_half() {
        for (weights, expected) in [
            (&[1.0, -0.5][..], 14),
            (&[-1.99], 14),
            (&[2.0, 0.0], 13),
            (&[65504.0], -1),
            (&[3e38], 0),
            (&[1e-45], 0),
            (&[0.0, -0.0], 0),
            (&[f32::INFINITY], 0),
        ] {
            assert_eq!(exponent(weights), expected, "{weights:?}");
        }
        assert_eq!(
            [-MOST, -1, 0, 3, MOST].map(power),
            [1.0 / (1_u64 << 63) as f32 / 2.0, 0.5, 1.0, 8.0, 2.0_f32.powi(64)]
        );
        assert!(
            times(&[1e-12], exponent(&[1e-12])).all(|value| (16384.0..32768.0).contains(&value))
        );
    }
}
