//! Plans in half precision.
//!
//! ```text
//!   f32   input -> conv1 -> conv2 -> conv3 -> output
//!   f16   input -> [f16] -> conv1 -> conv2 -> conv3 -> [f32] -> output
//!   f16, conv2 in f32       conv1 -> [f32] -> conv2 -> [f16] -> conv3
//! ```
//!
//! The steps stay the same; only the types of their inputs and outputs change. A step computes in
//! one precision: its images and its weights have the same type. Where steps of different precision
//! meet, each tensor is converted once between them.

use std::collections::HashMap;

use super::{Plan, Role, Step, TensorId, TensorInfo};
use crate::error::PrecisionError;
use crate::op::{Epilogue, Op};
use crate::tensor::DType;

/// The type of activations and weights on the device. Sums and biases are always f32, and so are
/// norms that are separate steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// f16, with half the memory and traffic. It is an error if the device does not support it, or
    /// if it cannot represent a value.
    F16,
    /// f16 if the device supports it, otherwise f32. Layers whose weights or activations are too
    /// large for f16 are computed in f32, which is logged.
    Auto,
}

impl Precision {
    /// The element type on a device with or without half precision.
    ///
    /// # Errors
    /// [`PrecisionError::Unavailable`].
    pub fn dtype(self, has_half: bool) -> Result<DType, PrecisionError> {
        match (self, has_half) {
            (Self::F32, _) | (Self::Auto, false) => Ok(DType::F32),
            (_, true) => Ok(DType::F16),
            (Self::F16, false) => Err(PrecisionError::Unavailable),
        }
    }
}

impl Plan {
    /// Whether a step is a convolution whose norm is a separate step.
    pub(crate) fn is_before_norm(&self, step: &Step) -> bool {
        let norms = |reader: &Step| {
            matches!(reader.op, Op::BatchNorm { .. }) && reader.inputs[0] == step.output
        };
        matches!(step.op, Op::Conv { epilogue, .. } if epilogue == Epilogue::default())
            && self.steps.iter().any(norms)
    }

    /// The same plan in half precision. The input and output have the type `edges`. The steps named
    /// in `keep_f32` are computed in f32.
    ///
    /// # Errors
    /// [`PrecisionError::Training`] for a training plan, [`PrecisionError::NoSuchLayer`] for a name
    /// that no step has.
    pub fn in_half(&self, keep_f32: &[String], edges: DType) -> Result<Self, PrecisionError> {
        if self.steps.iter().any(|step| step.weights.is_some() || matches!(step.op, Op::Train(_))) {
            return Err(PrecisionError::Training);
        }
        if let Some(name) =
            keep_f32.iter().find(|name| !self.steps.iter().any(|step| step.module == **name))
        {
            let steps = self.steps.iter().map(|step| step.module.clone()).collect();
            return Err(PrecisionError::NoSuchLayer { name: name.clone(), steps });
        }
        let mut halver = Halver::new(self, edges);
        for block in &self.blocks {
            let first = halver.plan.steps.len();
            for step in &self.steps[block.clone()] {
                let single = keep_f32.contains(&step.module);
                halver.step(step, if single { DType::F32 } else { DType::F16 });
            }
            if block.end == self.steps.len() && !block.is_empty() {
                // The output as the caller wants it.
                halver.plan.output = halver.tensor(self.output, edges, &self.steps[block.end - 1]);
            }
            halver.plan.blocks.push(first..halver.plan.steps.len());
        }
        Ok(halver.finish(self))
    }
}

/// A plan under construction, with the tensors of the old plan that it has so far, by type.
struct Halver<'a> {
    old: &'a Plan,
    plan: Plan,
    /// The new tensor for each tensor of the old plan, by type.
    there: HashMap<(TensorId, DType), TensorId>,
    /// The type with which a tensor was written.
    written: HashMap<TensorId, DType>,
}

impl<'a> Halver<'a> {
    fn new(old: &'a Plan, edges: DType) -> Self {
        let plan =
            Plan::new(old.kind, TensorInfo { dtype: edges, ..old.tensor(old.input).clone() });
        let there = HashMap::from([((old.input, edges), plan.input)]);
        Self { old, plan, there, written: HashMap::from([(old.input, edges)]) }
    }

    /// Adds a step that computes in this precision. The tensor between a convolution and a norm
    /// that is a separate step is f32: a norm with small variance keeps only the last digits of the
    /// convolution's output.
    fn step(&mut self, step: &Step, dtype: DType) {
        let (reads, writes) = match step.op {
            Op::BatchNorm { .. } if self.written.get(&step.inputs[0]) == Some(&DType::F32) => {
                (DType::F32, dtype)
            }
            _ if self.old.is_before_norm(step) => (dtype, DType::F32),
            _ => (dtype, dtype),
        };
        let inputs = step.inputs.iter().map(|&id| self.tensor(id, reads, step)).collect();
        let output = self.add(step.output, writes);
        self.written.insert(step.output, writes);
        self.plan.steps.push(Step { inputs, output, ..step.clone() });
    }

    /// Adds a new tensor for an old one.
    fn add(&mut self, old: TensorId, dtype: DType) -> TensorId {
        let info = self.old.tensor(old);
        let id = TensorId(self.plan.tensors.len());
        self.plan.tensors.push(TensorInfo { dtype, ..info.clone() });
        self.there.insert((old, dtype), id);
        id
    }

    /// The new tensor of this type for an old one; a conversion is added for the step if there is
    /// none yet.
    fn tensor(&mut self, old: TensorId, dtype: DType, step: &Step) -> TensorId {
        if let Some(&id) = self.there.get(&(old, dtype)) {
            return id;
        }
        let written = self.written.get(&old).copied().unwrap_or_default();
        let from = self.there.get(&(old, written)).copied().unwrap_or(self.plan.input);
        let channels = self.old.tensor(old).shape.c;
        let output = self.add(old, dtype);
        let module = format!("{}.{}", self.old.tensor(old).name, dtype.name());
        let (role, op) = (Role::Convert, Op::Convert { channels, to: dtype });
        self.plan.steps.push(Step {
            block: step.block,
            module,
            role,
            op,
            inputs: vec![from],
            weights: None,
            output,
        });
        output
    }

    /// Fetched tensors keep the type with which they were written.
    fn finish(mut self, old: &Plan) -> Plan {
        let fetches =
            old.fetches.iter().filter_map(|id| self.there.get(&(*id, self.written[id])).copied());
        self.plan.fetches = fetches.collect();
        self.plan
    }
}
