//! The scheduler: from a plan to a recording.
//!
//! ```text
//!   Plan                          Recording
//!   block 0: conv1 conv2 conv3    segment 0: [conv1 > kernel] [conv2 > kernel] [conv3 > kernel]
//!   block 1: conv1 conv2 conv3    segment 1: ...
//! ```
//!
//! A segment becomes a command buffer.
//!
//! Guarantees, each verified by a test:
//! - one segment per block, in the blocks' order, and every step of the plan in exactly one
//!   segment;
//! - each step's kernel is one of the candidates that the device can run;
//! - no slot holds two tensors that live at the same time, and none is read before it is written.
//!
//! It does not reorder steps: a Bottleneck is a chain. Its unfused downsample could overlap with
//! the main branch, but a pass runs dispatches without shared buffers in parallel anyway. It does
//! not measure anything either: the choice of kernels is a pure function of the problem, the
//! device's capabilities and, if requested, earlier measurements.

use std::ops::Range;

use super::{Dispatch, MemoryPlan, Plan, RecordedStep, Recording, Scratch, Segment, Step, memory};
use crate::error::{GpuError, Result};
use crate::kernel::{self, Capabilities, Kernel, Measured, Problem};
use crate::tensor::DType;

/// How the kernel of each step is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KernelChoice {
    /// By the ranking rule.
    #[default]
    Ranked,
    /// By the ranking rule, for a process that runs the plan this many times and exits. A software
    /// driver's time to compile the kernels is amortised over the runs, so few runs get kernels
    /// that compile quickly. Results may differ from those of other choices within the
    /// [tolerance](crate::BlockChain::tolerance).
    RankedFor(u32),
    /// The `n`-th candidate of each step (modulo their number), so that tests can force each one.
    Nth(usize),
    /// The candidate whose name contains this string, for the steps that have one. It is an error
    /// if no step has one.
    Named(String),
    /// The candidate with this name for each step, in order, as selected in an earlier recording of
    /// the same plan. A step without a name, or with a name that is not a candidate here, is an
    /// error.
    Recorded(Vec<String>),
    /// The candidate that was measured to be fastest; by the ranking rule without a measurement.
    Measured(Measured),
}

/// The memory that a recording may use in addition to the minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Bytes by which transformed weights may exceed those of the convolutions, over the whole
    /// plan. Kernels that would exceed it are not used; earlier steps have priority. 0 excludes
    /// all kernels with transformed weights. Only these kernels round sums of integers that are
    /// exact in all other kernels.
    pub extra_weight_bytes: u64,
}

impl MemoryBudget {
    /// No limit.
    pub const UNBOUNDED: Self = Self { extra_weight_bytes: u64::MAX };
}

impl Default for MemoryBudget {
    /// 9 MiB: enough for a Bottleneck's 3x3 convolution, and a ResNet-50's weights stay within 1.1
    /// times the size of its file.
    fn default() -> Self {
        Self { extra_weight_bytes: 9 << 20 }
    }
}

/// Records a plan for a device with these capabilities.
///
/// # Errors
/// [`GpuError::Recording`] or a [`ShapeError`](crate::error::ShapeError) for an inconsistent plan;
/// [`GpuError::TooLarge`] if a tensor or the weights of a step exceed the device's binding limit,
/// [`GpuError::TooManyWorkgroups`], [`GpuError::NoSuchKernel`] if no step has the requested kernel.
pub fn schedule(
    plan: Plan,
    capabilities: &Capabilities,
    choice: &KernelChoice,
    mut budget: MemoryBudget,
) -> Result<Recording> {
    plan.check()?;
    check_sizes(&plan, capabilities)?;
    let (mut picks, mut named, mut compiled) =
        (Vec::with_capacity(plan.steps.len()), false, Vec::new());
    for (at, step) in plan.steps.iter().enumerate() {
        let problem = plan.problem(step);
        let picked = match choice {
            KernelChoice::Recorded(names) => recorded(step, &problem, capabilities, names.get(at))?,
            _ => pick(&problem, capabilities, choice, budget, &compiled)?,
        };
        named |= picked.named;
        compiled.extend(picked.kernel.dispatches());
        budget.extra_weight_bytes =
            budget.extra_weight_bytes.saturating_sub(picked.kernel.extra_weight_bytes(&problem));
        let bytes = picked.kernel.packed_bytes(&problem) as u64;
        if bytes > capabilities.max_binding_bytes {
            let limit = capabilities.max_binding_bytes;
            return Err(
                GpuError::TooLarge { what: format!("weights of {step}"), bytes, limit }.into()
            );
        }
        picks.push(picked);
    }
    let with_step = || plan.steps.iter().zip(&picks);
    let scratch: Vec<Vec<usize>> = with_step()
        .map(|(step, picked)| picked.kernel.scratch_bytes(&plan.problem(step)))
        .collect();
    let MemoryPlan { tensors: locations, scratch, slots } = memory::assign(&plan, &scratch);
    let record = |((step, picked), scratch): ((&Step, &Picked), &Vec<Scratch>)| {
        let Picked { kernel, reason, .. } = *picked;
        let dispatches = Dispatch::all(&kernel, &plan.problem(step), capabilities)?;
        Ok(RecordedStep {
            step: step.clone(),
            kernel,
            reason,
            dispatches,
            scratch: scratch.clone(),
        })
    };
    let mut recorded = with_step().zip(&scratch).map(record);
    let segment = |(block, range): (usize, &Range<usize>)| {
        Ok(Segment { block, steps: recorded.by_ref().take(range.len()).collect::<Result<_>>()? })
    };
    let segments = plan.blocks.iter().enumerate().map(segment).collect::<Result<_>>()?;
    match choice {
        KernelChoice::Named(name) if !named => {
            Err(no_such_kernel(&plan, capabilities, name).into())
        }
        _ => Ok(Recording { plan, locations, slots, segments }),
    }
}

/// Checks that each tensor fits into a binding.
fn check_sizes(plan: &Plan, capabilities: &Capabilities) -> Result<(), GpuError> {
    let limit = capabilities.max_binding_bytes;
    for tensor in &plan.tensors {
        let bytes = tensor.bytes() as u64;
        if bytes > limit {
            let what = format!("tensor {} {}", tensor.name, tensor.shape);
            return Err(GpuError::TooLarge { what, bytes, limit });
        }
    }
    Ok(())
}

/// The error for a kernel name that no step has a candidate for.
fn no_such_kernel(plan: &Plan, capabilities: &Capabilities, name: &str) -> GpuError {
    let all =
        plan.steps.iter().flat_map(|step| kernel::candidates(&plan.problem(step), capabilities));
    let mut candidates: Vec<String> = all.map(|kernel| kernel.name()).collect();
    candidates.sort();
    candidates.dedup();
    GpuError::NoSuchKernel { kernel: name.to_owned(), step: "any step".to_owned(), candidates }
}

impl Plan {
    /// The problem that a kernel solves for a step of this plan.
    #[must_use]
    pub fn problem(&self, step: &Step) -> Problem {
        let tensor = |id| {
            let info = self.tensor(id);
            (info.shape, info.layout)
        };
        let inputs = step.inputs.iter().map(|&id| tensor(id)).collect();
        let weights = step.inputs.first().and_then(|&id| self.tensor(id).weights);
        Problem {
            op: step.op,
            dtype: step.inputs.first().map_or(DType::F32, |&id| self.tensor(id).dtype),
            inputs,
            output: tensor(step.output),
            output_dtype: self.tensor(step.output).dtype,
            weights_change: step.weights.is_some(),
            weights,
        }
    }
}

/// A kernel, why it was selected, and whether it was selected by name.
struct Picked {
    kernel: Kernel,
    reason: &'static str,
    named: bool,
}

/// The kernel that an earlier recording selected for a step.
fn recorded(
    step: &Step,
    problem: &Problem,
    capabilities: &Capabilities,
    name: Option<&String>,
) -> Result<Picked> {
    let candidates = kernel::candidates(problem, capabilities);
    match candidates.iter().find(|kernel| name.is_some_and(|name| kernel.name() == *name)) {
        Some(&kernel) => Ok(Picked { kernel, reason: "from an earlier recording", named: true }),
        None => {
            let (kernel, candidates) =
                (name.cloned().unwrap_or_default(), candidates.iter().map(Kernel::name).collect());
            Err(GpuError::NoSuchKernel { kernel, step: step.to_string(), candidates }.into())
        }
    }
}

/// Selects a step's kernel, given the kernels already `compiled` for earlier steps.
fn pick(
    problem: &Problem,
    capabilities: &Capabilities,
    choice: &KernelChoice,
    budget: MemoryBudget,
    compiled: &[Kernel],
) -> Result<Picked> {
    let mut candidates = kernel::candidates(problem, capabilities);
    candidates.retain(|kernel| kernel.extra_weight_bytes(problem) <= budget.extra_weight_bytes);
    if let KernelChoice::Measured(measured) = choice
        && let Some(kernel) = measured.fastest(problem, &candidates)
    {
        return Ok(Picked {
            kernel,
            reason: "measured: the fastest candidate with correct results",
            named: false,
        });
    }
    let forced = match choice {
        KernelChoice::Ranked
        | KernelChoice::RankedFor(_)
        | KernelChoice::Recorded(_)
        | KernelChoice::Measured(_) => None,
        KernelChoice::Nth(n) => n.checked_rem(candidates.len()).map(|at| candidates[at]),
        KernelChoice::Named(name) => {
            candidates.iter().copied().find(|kernel| kernel.name().contains(name.as_str()))
        }
    };
    if let Some(kernel) = forced {
        return Ok(Picked { kernel, reason: "requested", named: true });
    }
    let ranked = match choice {
        KernelChoice::RankedFor(runs) => {
            kernel::select_for_runs(problem, &candidates, capabilities, *runs, compiled)
        }
        _ => kernel::select(problem, &candidates, capabilities),
    };
    let (kernel, reason) = ranked.ok_or_else(|| GpuError::NoSuchKernel {
        kernel: "within this device's limits".to_owned(),
        step: problem.op.name().to_owned(),
        candidates: Vec::new(),
    })?;
    Ok(Picked { kernel, reason, named: false })
}
