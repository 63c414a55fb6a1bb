//! The scheduler: from a plan to a recording.
//!
//! ```text
//!   Plan                          Recording
//!   block 0: conv1 conv2 conv3    segment 0: [conv1 > kernel] [conv2 > kernel] [conv3 > kernel]   = command buffer 0
//!   block 1: conv1 conv2 conv3    segment 1: ...                                                  = command buffer 1
//! ```
//!
//! Guarantees, each held by a test:
//! - one segment per block, in the blocks' order, and every step of the plan in exactly one segment;
//! - each step's kernel is one of the candidates that the device can run;
//! - no slot holds two tensors that live at the same time, and none is read before it is written.
//!
//! What it does not do: reorder steps (a Bottleneck is a chain; its unfused downsample could overlap with the main branch,
//! but a pass runs dispatches that share no buffer side by side anyway), and measure anything (the choice of kernels is a
//! pure function of the problem and the device's capabilities).

use super::{Dispatch, Plan, RecordedStep, Recording, Segment, Step, lifetime};
use crate::error::{GpuError, Result};
use crate::kernel::{self, Capabilities, Kernel, Problem};
use crate::tensor::Element;

/// How the kernel of each step is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KernelChoice {
    /// By the ranking rule.
    #[default]
    Ranked,
    /// The `n`-th candidate of each step (modulo how many it has): how tests force every one.
    Nth(usize),
    /// The candidate whose name contains this, where a step has one; a name that no step has is an error.
    Named(String),
}

/// Records a plan for a device with these capabilities.
///
/// # Errors
/// [`GpuError::TooLarge`] when a tensor or the weights of a step are beyond the device's binding limit, [`GpuError::TooManyWorkgroups`],
/// [`GpuError::NoSuchKernel`] when a kernel was named that no step has.
pub fn schedule(plan: Plan, capabilities: &Capabilities, choice: &KernelChoice) -> Result<Recording> {
    for tensor in &plan.tensors {
        let (bytes, limit) = (tensor.bytes() as u64, capabilities.max_binding_bytes);
        if bytes > limit {
            return Err(
                GpuError::TooLarge { what: format!("tensor {} {}", tensor.name, tensor.shape), bytes, limit }.into()
            );
        }
    }
    let (places, slots) = lifetime::assign(&plan);
    let mut segments = Vec::with_capacity(plan.blocks.len());
    let mut named = false;
    for (block, range) in plan.blocks.iter().enumerate() {
        let mut steps = Vec::with_capacity(range.len());
        for step in &plan.steps[range.clone()] {
            let problem = plan.problem(step);
            let picked = pick(&problem, capabilities, choice)?;
            named |= picked.named;
            let bytes = (picked.kernel.packed_values(&problem) * Element::F32.bytes()) as u64;
            if bytes > capabilities.max_binding_bytes {
                let limit = capabilities.max_binding_bytes;
                return Err(GpuError::TooLarge { what: format!("weights of {step}"), bytes, limit }.into());
            }
            let (params, workgroups) = picked.kernel.dispatch(&problem, capabilities)?;
            let dispatch = Dispatch { kernel: picked.kernel, params, workgroups };
            steps.push(RecordedStep { step: step.clone(), reason: picked.reason, dispatches: vec![dispatch] });
        }
        segments.push(Segment { block, steps });
    }
    match choice {
        KernelChoice::Named(name) if !named => {
            let all = plan.steps.iter().flat_map(|step| kernel::candidates(&plan.problem(step), capabilities));
            let mut candidates: Vec<String> = all.map(|kernel| kernel.name()).collect();
            candidates.sort();
            candidates.dedup();
            Err(GpuError::NoSuchKernel { kernel: name.clone(), step: "any step".to_owned(), candidates }.into())
        }
        _ => Ok(Recording { plan, places, slots, segments }),
    }
}

impl Plan {
    /// What a kernel needs to know of a step of this plan.
    #[must_use]
    pub fn problem(&self, step: &Step) -> Problem {
        let tensor = |id| {
            let info = self.tensor(id);
            (info.shape, info.layout)
        };
        Problem { op: step.op, inputs: step.inputs.iter().map(|&id| tensor(id)).collect(), output: tensor(step.output) }
    }
}

/// A kernel, why it was taken, and whether it was taken by name.
struct Picked {
    kernel: Kernel,
    reason: &'static str,
    named: bool,
}

fn pick(problem: &Problem, capabilities: &Capabilities, choice: &KernelChoice) -> Result<Picked> {
    let candidates = kernel::candidates(problem, capabilities);
    let forced = match choice {
        KernelChoice::Ranked => None,
        KernelChoice::Nth(n) => n.checked_rem(candidates.len()).map(|at| candidates[at]),
        KernelChoice::Named(name) => candidates.iter().copied().find(|kernel| kernel.name().contains(name.as_str())),
    };
    if let Some(kernel) = forced {
        return Ok(Picked { kernel, reason: "asked for", named: true });
    }
    let (kernel, reason) =
        kernel::select(problem, &candidates, capabilities).ok_or_else(|| GpuError::NoSuchKernel {
            kernel: "within this device's limits".to_owned(),
            step: problem.op.name().to_owned(),
            candidates: Vec::new(),
        })?;
    Ok(Picked { kernel, reason, named: false })
}
