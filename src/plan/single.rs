//! Plans of one step.

use super::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use crate::kernel::Problem;

impl Plan {
    /// A problem as a plan: its inputs first, its output last. Only the first input is the caller's; who records the plan has to
    /// find a second one a place.
    #[must_use]
    pub fn single(problem: &Problem) -> Self {
        let names = ["first input", "second input"].into_iter().map(str::to_owned);
        let named = names.zip(&problem.inputs).chain([("output".to_owned(), &problem.output)]);
        let mut tensors: Vec<TensorInfo> =
            named.map(|(name, &(shape, layout))| TensorInfo::pixels(name, shape, layout)).collect();
        let output = TensorId(tensors.len() - 1);
        tensors.iter_mut().for_each(|tensor| tensor.element = problem.element);
        tensors[output.0].element = problem.output_element;
        let step = Step {
            block: 0,
            module: problem.op.name().to_owned(),
            role: Role::Conv1,
            op: problem.op,
            inputs: (0..output.0).map(TensorId).collect(),
            weights: None,
            output,
        };
        let blocks = vec![0..1; 1];
        let (steps, given, kept, carried) = (vec![step], Vec::new(), Vec::new(), Vec::new());
        Self { kind: PlanKind::Fused, tensors, steps, blocks, input: TensorId(0), output, given, kept, carried }
    }
}
