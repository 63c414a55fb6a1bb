//! A training plan under construction: its tensors, steps and segments.

use super::optimizer::{Optimizer, Updates};
use super::planned_tensors::{PlannedLayer, PlannedParameter};
use crate::error::Result;
use crate::network::Norm;
use crate::op::Op;
use crate::plan::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// A plan under construction.
pub(super) struct TrainingPlanner {
    pub plan: Plan,
    pub norm: Norm,
    /// The prefix of the names of the current block.
    pub prefix: String,
    /// Prefixes of the names of frozen parts.
    frozen: Vec<String>,
    /// Whether new running statistics replace the previous ones on the device, instead of only
    /// being fetches for the caller.
    pub updates_statistics: bool,
    /// The layers so far, in the order of their keys.
    pub layers: Vec<PlannedLayer>,
    /// The optimiser; without one, gradients are fetches for the caller.
    pub updates: Option<Updates>,
    pub parameters: Vec<PlannedParameter>,
}

impl TrainingPlanner {
    pub fn new(norm: Norm, input: Shape) -> Self {
        let info = TensorInfo::pixels("input", input, ChannelLayout::dense(input.c));
        let (layers, parameters, frozen) = (Vec::new(), Vec::new(), Vec::new());
        let plan = Plan::new(PlanKind::Unfused, info);
        Self {
            plan,
            norm,
            prefix: String::new(),
            frozen,
            updates_statistics: false,
            layers,
            updates: None,
            parameters,
        }
    }

    /// [`TrainingPlanner::new`] for whole networks: updated statistics and parameters replace the
    /// previous ones.
    pub fn with_updates(
        norm: Norm,
        input: Shape,
        frozen: &[String],
        optimizer: &Optimizer,
        over: usize,
    ) -> Self {
        let mut planner = Self::new(norm, input);
        (planner.updates_statistics, planner.frozen) = (true, frozen.to_vec());
        planner.updates = Some(Updates::new(optimizer, over, &mut planner.plan));
        planner
    }

    /// Starts a new segment for the following steps, with this name prefix.
    pub fn begin(&mut self, prefix: &str) {
        let at = self.plan.steps.len();
        self.plan.blocks.push(at..at);
        prefix.clone_into(&mut self.prefix);
    }

    /// Whether the part with this name in the current block is frozen.
    pub fn is_frozen(&self, name: &str) -> bool {
        let name = format!("{}{name}", self.prefix);
        is_within(&name, &self.frozen)
    }

    fn add(&mut self, info: TensorInfo) -> TensorId {
        self.plan.tensors.push(info);
        TensorId(self.plan.tensors.len() - 1)
    }

    /// Adds a tensor that the caller provides.
    pub fn variable(&mut self, info: TensorInfo) -> TensorId {
        let id = self.add(info);
        self.plan.variables.push(id);
        id
    }

    pub fn shape(&self, id: TensorId) -> Shape {
        self.plan.tensor(id).shape
    }

    pub fn layout(&self, id: TensorId) -> ChannelLayout {
        self.plan.tensor(id).layout
    }

    /// Appends a step and its output, a tensor of pixels.
    pub fn step(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        layout: ChannelLayout,
    ) -> Result<TensorId> {
        self.step_by(name, op, inputs, None, layout)
    }

    /// [`TrainingPlanner::step`] with weights from a tensor.
    pub fn step_by(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        weights: Option<TensorId>,
        layout: ChannelLayout,
    ) -> Result<TensorId> {
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.shape(id)).collect();
        let info =
            TensorInfo::pixels(format!("{}{name}", self.prefix), op.output_shape(&shapes)?, layout);
        Ok(self.push(op, inputs, weights, info))
    }

    /// Appends a step with this output tensor, named after it.
    pub fn push(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        weights: Option<TensorId>,
        info: TensorInfo,
    ) -> TensorId {
        let (block, module) = (self.plan.blocks.len().saturating_sub(1), info.name.clone());
        let output = self.add(info);
        let (role, inputs) = (Role::Training, inputs.to_vec());
        self.plan.steps.push(Step { block, module, role, op, inputs, weights, output });
        if let Some(range) = self.plan.blocks.last_mut() {
            range.end += 1;
        }
        output
    }
}

/// Whether a name is one of these, or belongs to a part of one.
pub(super) fn is_within(name: &str, parts: &[String]) -> bool {
    let begins = |part: &String| {
        name.strip_prefix(part.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    parts.iter().any(begins)
}
