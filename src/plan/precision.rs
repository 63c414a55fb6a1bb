//! Plans in half precision.
//!
//! ```text
//!   f32   input -> conv1 -> conv2 -> conv3 -> output
//!   f16   input -> [f16] -> conv1 -> conv2 -> conv3 -> [f32] -> output
//!   f16, conv2 in f32       conv1 -> [f32] -> conv2 -> [f16] -> conv3
//! ```
//!
//! The steps stay what they are; what changes is the type of what they read and write. A step computes in one precision: its images and
//! its weights are of one type. Where two of different precision meet, a conversion stands between, once for each tensor.

use std::collections::HashMap;

use super::{Plan, Role, Step, TensorId, TensorInfo};
use crate::error::PrecisionError;
use crate::op::{Epilogue, Op};
use crate::tensor::Element;

/// The type of activations and weights on the device. Sums are f32 whatever it is, and so are biases, and norms that are steps of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// f16, half the memory and traffic. A device without it, and numbers that it cannot hold, are errors.
    F16,
    /// f16 where the device has it and the numbers allow it: layers whose weights or activations are too large for f16 are computed in
    /// f32, which the log says. Else f32.
    Auto,
}

impl Precision {
    /// What a device does, which has half precision or not.
    ///
    /// # Errors
    /// [`PrecisionError::Unavailable`].
    pub fn element(self, has_half: bool) -> Result<Element, PrecisionError> {
        match (self, has_half) {
            (Self::F32, _) | (Self::Auto, false) => Ok(Element::F32),
            (_, true) => Ok(Element::F16),
            (Self::F16, false) => Err(PrecisionError::Unavailable),
        }
    }
}

impl Plan {
    /// Whether a step is a convolution whose norm is a step of its own.
    pub(crate) fn is_before_norm(&self, step: &Step) -> bool {
        let norms = |reader: &Step| matches!(reader.op, Op::BatchNorm { .. }) && reader.inputs[0] == step.output;
        matches!(step.op, Op::Conv { epilogue, .. } if epilogue == Epilogue::default()) && self.steps.iter().any(norms)
    }

    /// The same plan in half precision; input and output, the edges, are of this type. The steps of these names are computed in f32.
    ///
    /// # Errors
    /// [`PrecisionError::Training`] for a plan of training, [`PrecisionError::NoSuchLayer`] for a name that no step has.
    pub fn in_half(&self, keep_f32: &[String], edges: Element) -> Result<Self, PrecisionError> {
        if self.steps.iter().any(|step| step.weights.is_some() || matches!(step.op, Op::Train(_))) {
            return Err(PrecisionError::Training);
        }
        if let Some(name) = keep_f32.iter().find(|name| !self.steps.iter().any(|step| step.module == **name)) {
            let steps = self.steps.iter().map(|step| step.module.clone()).collect();
            return Err(PrecisionError::NoSuchLayer { name: name.clone(), steps });
        }
        let mut halver = Halver::new(self, edges);
        for block in &self.blocks {
            let first = halver.plan.steps.len();
            for step in &self.steps[block.clone()] {
                let single = keep_f32.contains(&step.module);
                halver.step(step, if single { Element::F32 } else { Element::F16 });
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

/// A plan in the making, and which tensors of the old one there are by now, of either type.
struct Halver<'a> {
    old: &'a Plan,
    plan: Plan,
    /// The tensor that stands for one of the old plan's.
    there: HashMap<(TensorId, Element), TensorId>,
    /// The type in which a tensor was written.
    written: HashMap<TensorId, Element>,
}

impl<'a> Halver<'a> {
    fn new(old: &'a Plan, edges: Element) -> Self {
        let plan = Plan::new(old.kind, TensorInfo { element: edges, ..old.tensor(old.input).clone() });
        let there = HashMap::from([((old.input, edges), plan.input)]);
        Self { old, plan, there, written: HashMap::from([(old.input, edges)]) }
    }

    /// A step that computes in this precision. Between a convolution and a norm that is a step of its own lies f32: of what a convolution puts
    /// out, a norm of small variance leaves the last digits alone.
    fn step(&mut self, step: &Step, element: Element) {
        let (reads, writes) = match step.op {
            Op::BatchNorm { .. } if self.written.get(&step.inputs[0]) == Some(&Element::F32) => (Element::F32, element),
            _ if self.old.is_before_norm(step) => (element, Element::F32),
            _ => (element, element),
        };
        let inputs = step.inputs.iter().map(|&id| self.tensor(id, reads, step)).collect();
        let output = self.add(step.output, writes);
        self.written.insert(step.output, writes);
        self.plan.steps.push(Step { inputs, output, ..step.clone() });
    }

    /// A new tensor that stands for an old one.
    fn add(&mut self, old: TensorId, element: Element) -> TensorId {
        let info = self.old.tensor(old);
        let id = TensorId(self.plan.tensors.len());
        self.plan.tensors.push(TensorInfo { element, ..info.clone() });
        self.there.insert((old, element), id);
        id
    }

    /// The tensor that stands for an old one and is of this type, converted for a step where there is none yet.
    fn tensor(&mut self, old: TensorId, element: Element, step: &Step) -> TensorId {
        if let Some(&id) = self.there.get(&(old, element)) {
            return id;
        }
        let written = self.written.get(&old).copied().unwrap_or_default();
        let from = self.there.get(&(old, written)).copied().unwrap_or(self.plan.input);
        let channels = self.old.tensor(old).shape.c;
        let output = self.add(old, element);
        let module = format!("{}.{}", self.old.tensor(old).name, element.name());
        let (role, op) = (Role::Convert, Op::Convert { channels, to: element });
        self.plan.steps.push(Step { block: step.block, module, role, op, inputs: vec![from], weights: None, output });
        output
    }

    /// What is kept is kept as it was written.
    fn finish(mut self, old: &Plan) -> Plan {
        let kept = old.kept.iter().filter_map(|id| self.there.get(&(*id, self.written[id])).copied());
        self.plan.kept = kept.collect();
        self.plan
    }
}
