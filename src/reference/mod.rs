//! The second executor: a naive f64 implementation of every operation on the CPU. It reads only the
//! steps of a recording and shares no code with the kernels, so the two agree only if both are
//! correct.

mod bound;
mod inference;
mod ops;
mod rounding;
mod tensor64;
mod train;

use std::borrow::Cow;

use crate::error::ShapeError;
use crate::op::{Op, StepParams};
use crate::plan::{Plan, Pow2Scale, Recording, Step, TensorId};
use crate::tensor::{HostTensor, memory};

pub use bound::ExactBound;
use ops::apply;
use rounding::Rounding;
pub use tensor64::Tensor64;

/// Runs a recording's steps and returns the plan's output. `params` are the parameters of the
/// steps, in order.
///
/// # Errors
/// [`ShapeError::Mismatch`] if the input differs from the planned one, [`ShapeError::Length`] if
/// the parameters do not fit the steps, [`ShapeError::Memory`] if the tensors do not fit into host
/// memory.
pub fn run(
    recording: &Recording,
    params: &[StepParams],
    input: &HostTensor,
) -> Result<HostTensor, ShapeError> {
    Ok(run_to(recording, params, input, &[recording.plan.output])?.remove(0))
}

/// Like [`run`], but returns these tensors of the plan.
///
/// # Errors
/// As [`run`].
pub fn run_to(
    recording: &Recording,
    params: &[StepParams],
    input: &HostTensor,
    tensors: &[TensorId],
) -> Result<Vec<HostTensor>, ShapeError> {
    let every = self::tensors(recording, params, input)?;
    tensors.iter().map(|id| rounded(&every[id.0])).collect()
}

/// Like [`run`], and also returns how close the sums are to the limit of exact f32 arithmetic.
///
/// # Errors
/// As [`run`].
pub fn run_with_bound(
    recording: &Recording,
    params: &[StepParams],
    input: &HostTensor,
) -> Result<(HostTensor, ExactBound), ShapeError> {
    let every = tensors(recording, params, input)?;
    let mut bound = ExactBound::default();
    for (step, params) in recording.steps().map(|recorded| &recorded.step).zip(params) {
        let inputs: Vec<&Tensor64> = step.inputs.iter().map(|id| &every[id.0]).collect();
        bound.widen(
            &step.op,
            params,
            &inputs,
            step.weights.map(|id| &every[id.0]),
            &every[step.output.0],
        );
    }
    Ok((rounded(&every[recording.plan.output.0])?, bound))
}

/// Like [`run`], with the roundings of a device that computes in half precision: the weights of its
/// steps, and every f16 tensor. The difference from [`run`] is the error of half precision on any
/// executor; sums are still f64.
///
/// # Errors
/// As [`run`].
pub fn run_rounded(
    recording: &Recording,
    params: &[StepParams],
    input: &HostTensor,
) -> Result<HostTensor, ShapeError> {
    let every = walk(recording, params, &[(recording.plan.input, input)], Rounding::AsPlanned)?;
    rounded(&every[recording.plan.output.0])
}

/// Runs one operation on the given inputs.
///
/// # Errors
/// [`ShapeError::Mismatch`] if the inputs do not fit the operation, [`ShapeError::Length`] if the
/// parameters do not.
pub fn run_op(
    op: &Op,
    params: &StepParams,
    inputs: &[&HostTensor],
) -> Result<HostTensor, ShapeError> {
    run_op_by(op, params, inputs, None)
}

/// [`run_op`] with optional weights of a convolution as a tensor; the parameters are then ignored.
///
/// # Errors
/// As [`run_op`].
pub fn run_op_by(
    op: &Op,
    params: &StepParams,
    inputs: &[&HostTensor],
    weights: Option<&HostTensor>,
) -> Result<HostTensor, ShapeError> {
    rounded(&Operands::of(inputs, weights).output(op, params)?)
}

/// Like [`run_op_by`], and also returns how close the sums are to the limit of exact f32
/// arithmetic.
///
/// # Errors
/// As [`run_op`].
pub fn run_op_with_bound(
    op: &Op,
    params: &StepParams,
    inputs: &[&HostTensor],
    weights: Option<&HostTensor>,
) -> Result<(HostTensor, ExactBound), ShapeError> {
    let operands = Operands::of(inputs, weights);
    let output = operands.output(op, params)?;
    let mut bound = ExactBound::default();
    let inputs: Vec<&Tensor64> = operands.inputs.iter().collect();
    bound.widen(op, params, &inputs, operands.weights.as_ref(), &output);
    Ok((rounded(&output)?, bound))
}

fn rounded(tensor: &Tensor64) -> Result<HostTensor, ShapeError> {
    HostTensor::new(tensor.shape, tensor.data.iter().map(|&value| value as f32).collect())
}

/// The operands of one operation.
struct Operands {
    inputs: Vec<Tensor64>,
    weights: Option<Tensor64>,
}

impl Operands {
    fn of(inputs: &[&HostTensor], weights: Option<&HostTensor>) -> Self {
        let widened = |tensor: &HostTensor| Tensor64 {
            shape: tensor.shape(),
            data: tensor.data().iter().copied().map(f64::from).collect(),
        };
        Self {
            inputs: inputs.iter().map(|input| widened(input)).collect(),
            weights: weights.map(widened),
        }
    }

    fn output(&self, op: &Op, params: &StepParams) -> Result<Tensor64, ShapeError> {
        let shape =
            op.output_shape(&self.inputs.iter().map(|input| input.shape).collect::<Vec<_>>())?;
        if self.weights.is_none() && !params.fit(op) {
            let tensor = format!("parameters of {}", op.name());
            return Err(ShapeError::Length {
                tensor,
                expected: op.parameters(),
                found: params.count(),
            });
        }
        let inputs: Vec<&Tensor64> = self.inputs.iter().collect();
        Ok(Tensor64 { shape, data: apply(op, params, &inputs, self.weights.as_ref(), shape) })
    }
}

/// Every tensor of the plan, by its index.
fn tensors(
    recording: &Recording,
    params: &[StepParams],
    input: &HostTensor,
) -> Result<Vec<Tensor64>, ShapeError> {
    all_tensors(recording, params, &[(recording.plan.input, input)])
}

/// Runs a recording with the input and the variables of its plan, and returns every tensor of the
/// plan, by its index.
///
/// # Errors
/// As [`run`], and [`ShapeError::Mismatch`] for a missing tensor.
pub fn all_tensors(
    recording: &Recording,
    params: &[StepParams],
    variables: &[(TensorId, &HostTensor)],
) -> Result<Vec<Tensor64>, ShapeError> {
    walk(recording, params, variables, Rounding::None)
}

/// Bytes of all tensors of a plan: every tensor stays in memory, in f64.
fn bytes(plan: &Plan) -> u64 {
    let values = plan.tensors.iter().map(|info| info.shape.len() as u64);
    values.fold(0, u64::saturating_add).saturating_mul(size_of::<f64>() as u64)
}

/// Every tensor of the plan, by its index, with or without rounding.
fn walk(
    recording: &Recording,
    params: &[StepParams],
    variables: &[(TensorId, &HostTensor)],
    rounding: Rounding,
) -> Result<Vec<Tensor64>, ShapeError> {
    let plan = &recording.plan;
    let steps: Vec<&Step> = recording.steps().map(|recorded| &recorded.step).collect();
    if params.len() != steps.len() {
        let tensor = "parameters of the steps".to_owned();
        return Err(ShapeError::Length { tensor, expected: steps.len(), found: params.len() });
    }
    let misfits =
        |(step, params): &(&&Step, &StepParams)| step.weights.is_none() && !params.fit(&step.op);
    if let Some((step, params)) = steps.iter().zip(params).find(misfits) {
        let (tensor, expected) = (format!("parameters of {step}"), step.op.parameters());
        return Err(ShapeError::Length { tensor, expected, found: params.count() });
    }
    memory::check("the reference's tensors", &plan.tensor(plan.input).shape.dims(), bytes(plan))?;
    let empty = |info: &crate::plan::TensorInfo| Tensor64 { shape: info.shape, data: Vec::new() };
    let mut every: Vec<Tensor64> = plan.tensors.iter().map(empty).collect();
    let mut balance = Pow2Scale::default();
    for &id in plan.variables.iter().chain([&plan.input]) {
        let info = plan.tensor(id);
        let found = variables.iter().find(|(given, _)| *given == id).map(|(_, tensor)| *tensor);
        let missing = || ShapeError::Mismatch {
            tensor: info.name.clone(),
            expected: info.shape.dims().to_vec(),
            found: Vec::new(),
        };
        let tensor = found.ok_or_else(missing)?;
        let name = if id == plan.input { "input" } else { &info.name };
        tensor.check_shape(name, info.shape)?;
        every[id.0].data = tensor.data().iter().copied().map(f64::from).collect();
    }
    for (step, params) in steps.into_iter().zip(params) {
        let inputs: Vec<&Tensor64> =
            step.inputs.iter().map(|&TensorId(index)| &every[index]).collect();
        let shape = plan.tensor(step.output).shape;
        let params = match rounding {
            Rounding::None => Cow::Borrowed(params),
            Rounding::AsPlanned => balance.params(plan, step, Cow::Borrowed(params)),
        };
        let params = rounding.of_params(params, plan.problem(step).dtype);
        let values = apply(&step.op, &params, &inputs, step.weights.map(|id| &every[id.0]), shape);
        every[step.output.0].data = values;
        rounding.of_values(&mut every[step.output.0].data, plan.tensor(step.output).dtype);
    }
    Ok(every)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Bottleneck, plan_block};
    use crate::plan::PlanKind;
    use crate::tensor::Shape;

    #[test]
    fn sizes_beyond_every_number_are_the_largest_one() -> Result<(), Box<dyn std::error::Error>> {
        let spec = Bottleneck::torchvision(16, 4).build()?;
        let mut plan = plan_block(&spec, Shape::new(1, 16, 6, 5)?, PlanKind::Fused)?;
        // The input, two tensors of four channels, the output.
        assert_eq!(bytes(&plan), 8 * 30 * (16 + 4 + 4 + 16));
        for info in &mut plan.tensors {
            info.shape = Shape { n: 1, c: 1, h: 1, w: 1 << 62 };
        }
        assert_eq!(bytes(&plan), u64::MAX);
        Ok(())
    }
}
