//! The optimiser's steps in a plan.

use super::optimizer::{Optimizer, Updates};
use super::planned_tensors::PlannedParameter;
use super::planner::TrainingPlanner;
use crate::error::Result;
use crate::op::{Op, Scalar, TrainOp, UpdateOp};
use crate::plan::{TensorId, TensorInfo, Update};
use crate::tensor::Shape;

impl TrainingPlanner {
    /// Appends the steps that update a parameter from its gradient.
    pub fn update(
        &mut self,
        name: &str,
        value: TensorId,
        mut gradient: TensorId,
        decays: bool,
    ) -> Result<()> {
        let Some(Updates { optimizer, over, control, gated }) = &self.updates else {
            return Ok(());
        };
        let (optimizer, over, control) = (*optimizer, *over, gated.unwrap_or(*control));
        let mut sum = None;
        if over > 1 {
            let before = self.alike(value, &format!("sum.{name}"));
            gradient = self.updated(
                &format!("sum.{name}"),
                UpdateOp::Accumulate,
                &[before, gradient, control],
            )?;
            self.carry(gradient, before);
            sum = Some(before);
        }
        let kept =
            optimizer.state_names().iter().map(|kind| self.alike(value, &format!("{kind}.{name}")));
        let state: Vec<TensorId> = kept.collect();
        let decay = |weight_decay: f64, all: bool| {
            Scalar::new(if decays || all { weight_decay } else { 0.0 })
        };
        let after = match optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay, decay_all } => {
                let (momentum, decay) = (Scalar::new(momentum), decay(weight_decay, decay_all));
                let op = UpdateOp::Velocity { momentum, decay };
                let velocity = self.updated(
                    &format!("velocity.{name}"),
                    op,
                    &[state[0], gradient, value, control],
                )?;
                self.carry(velocity, state[0]);
                let op = UpdateOp::Descend { momentum, decay, nesterov };
                self.updated(&format!("step.{name}"), op, &[value, gradient, velocity, control])?
            }
            Optimizer::AdamW { beta1, beta2, eps, weight_decay, decay_all } => {
                let mut moments = [value; 2];
                for (at, (beta, squares)) in [(beta1, false), (beta2, true)].into_iter().enumerate()
                {
                    let op = UpdateOp::Moment { beta: Scalar::new(beta), squares };
                    let label = format!("{}.{name}", if squares { "squares" } else { "mean" });
                    moments[at] = self.updated(&label, op, &[state[at], gradient, control])?;
                    self.carry(moments[at], state[at]);
                }
                let op = UpdateOp::AdamW {
                    eps: Scalar::new(eps),
                    decay: decay(weight_decay, decay_all),
                };
                self.updated(
                    &format!("step.{name}"),
                    op,
                    &[value, moments[0], moments[1], control],
                )?
            }
        };
        self.carry(after, value);
        self.parameters.push(PlannedParameter { name: name.to_owned(), value, state, sum });
        Ok(())
    }

    /// Adds a variable with the layout of another tensor.
    fn alike(&mut self, tensor: TensorId, name: &str) -> TensorId {
        let info = TensorInfo { name: name.to_owned(), ..self.plan.tensor(tensor).clone() };
        self.variable(info)
    }

    /// A step of the optimiser, whose output has the layout of its first input.
    fn updated(&mut self, name: &str, op: UpdateOp, inputs: &[TensorId]) -> Result<TensorId> {
        let op = Op::Train(TrainOp::Update(op));
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.shape(id)).collect();
        op.output_shape(&shapes)?;
        let info = TensorInfo { name: name.to_owned(), ..self.plan.tensor(inputs[0]).clone() };
        Ok(self.push(op, inputs, None, info))
    }

    fn carry(&mut self, from: TensorId, to: TensorId) {
        self.plan.updates.push(Update { from, to });
    }
}
