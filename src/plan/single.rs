//! Plans with one step.

use super::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use crate::kernel::Problem;
use crate::op::Op;
use crate::tensor::DType;

impl Plan {
    /// A problem on images as a plan: its inputs first, its output last. The second input is
    /// [variables](Plan::variables).
    #[must_use]
    pub fn single(problem: &Problem) -> Self {
        let names = ["first input", "second input"].into_iter().map(str::to_owned);
        let named = names.zip(&problem.inputs).chain([("output".to_owned(), &problem.output)]);
        let tensors =
            named.map(|(name, &(shape, layout))| TensorInfo::pixels(name, shape, layout)).collect();
        let mut plan = Self::of_step(problem.op, tensors, false);
        plan.in_dtypes([problem.dtype, problem.output_dtype]);
        plan
    }

    /// Sets the type of all tensors that a plan of one step reads, and the type of its output.
    pub(crate) fn in_dtypes(&mut self, [reads, writes]: [DType; 2]) {
        let output = self.output;
        self.tensors.iter_mut().for_each(|tensor| tensor.dtype = reads);
        self.tensors[output.0].dtype = writes;
    }

    /// One step as a plan. `tensors` are the operation's inputs, at least one, then its weights if
    /// they are a tensor, and its output last. All tensors that it reads, except the first input,
    /// are [variables](Plan::variables).
    #[must_use]
    pub fn of_step(op: Op, tensors: Vec<TensorInfo>, has_weights: bool) -> Self {
        let output = TensorId(tensors.len() - 1);
        let reads: Vec<TensorId> = (0..output.0).map(TensorId).collect();
        let (inputs, weights) = reads.split_at(reads.len() - usize::from(has_weights));
        let (inputs, weights) = (inputs.to_vec(), weights.first().copied());
        let (block, module, role) = (0, op.name().to_owned(), Role::Conv1);
        let step = Step { block, module, role, op, inputs, weights, output };
        let (steps, blocks, variables) = (vec![step], vec![0..1; 1], reads[1..].to_vec());
        let (fetches, updates) = (Vec::new(), Vec::new());
        Self {
            kind: PlanKind::Fused,
            tensors,
            steps,
            blocks,
            input: TensorId(0),
            output,
            variables,
            fetches,
            updates,
        }
    }
}
