//! Compares a training step with the step of the reference, or of PyTorch.

use std::borrow::Cow;

use wgpu_bottleneck::error::ShapeError;
use wgpu_bottleneck::tensor::{Comparison, Tolerance, compare};
use wgpu_bottleneck::{HostTensor, Shape, TrainingStep};

/// A part of what a training step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The block's output, normalised with the batch's statistics.
    Output,
    /// The running statistics after the batch.
    Statistics,
    /// The gradient of the input.
    InputGradient,
    /// The gradients of the parameters.
    ParameterGradients,
}

impl Part {
    /// Every part, in the order in which a step computes them.
    pub const ALL: [Self; 4] =
        [Self::Output, Self::Statistics, Self::InputGradient, Self::ParameterGradients];

    /// The part in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Output => "output (batch statistics)",
            Self::Statistics => "running statistics",
            Self::InputGradient => "gradient of the input",
            Self::ParameterGradients => "gradients of the parameters",
        }
    }

    /// Whether it is a gradient.
    pub const fn is_backward(self) -> bool {
        matches!(self, Self::InputGradient | Self::ParameterGradients)
    }

    /// The tolerance, as a share of a tensor's largest value.
    pub const fn tolerance(self) -> Tolerance {
        Tolerance::relative(if self.is_backward() { 2e-5 } else { 1e-5 })
    }
}

/// A tensor of a step.
#[derive(Debug)]
pub struct Checked {
    /// The part that it belongs to.
    pub part: Part,
    /// Its key, or `out` or `grad.input`.
    pub name: String,
    /// The comparison with the expected values.
    pub comparison: Comparison,
}

/// The tensors of a part, by name.
fn tensors(step: &TrainingStep, part: Part) -> Vec<(&str, Cow<'_, [f32]>)> {
    match part {
        Part::Output => vec![("out", step.out.data().into())],
        Part::Statistics => {
            let values = step.statistics.iter().map(|(key, values)| (key.as_str(), values.into()));
            // f32 holds counts up to 2^24 exactly.
            let counts =
                step.batches.iter().map(|(key, count)| (key.as_str(), vec![*count as f32].into()));
            values.chain(counts).collect()
        }
        Part::InputGradient => vec![("grad.input", step.gradients.input.data().into())],
        Part::ParameterGradients => step
            .gradients
            .parameters
            .iter()
            .map(|(key, _, values)| (key.as_str(), values.into()))
            .collect(),
    }
}

/// Compares every tensor of a step. A tensor that only one of the two has fails.
pub fn check(expected: &TrainingStep, found: &TrainingStep) -> Result<Vec<Checked>, ShapeError> {
    let row = |values: &[f32]| {
        HostTensor::new(Shape { n: 1, c: values.len(), h: 1, w: 1 }, values.to_vec())
    };
    let mut all = Vec::new();
    for part in Part::ALL {
        let (expected, found) = (tensors(expected, part), tensors(found, part));
        let extra =
            found.iter().filter(|(name, _)| expected.iter().all(|(known, _)| known != name));
        for (name, values) in expected.iter().chain(extra) {
            let of = |list: &[(&str, Cow<'_, [f32]>)]| match list
                .iter()
                .find(|(known, _)| known == name)
            {
                Some((_, values)) => row(values),
                None => row(&vec![f32::NAN; values.len()]),
            };
            let comparison = compare(&of(&expected)?, &of(&found)?, part.tolerance());
            all.push(Checked { part, name: (*name).to_owned(), comparison });
        }
    }
    Ok(all)
}
