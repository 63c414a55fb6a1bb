//! Recordings: a plan with its kernels, memory and order, ready to execute.

use super::{Location, Plan, Scratch, Slot, Step};
use crate::error::Result;
use crate::kernel::{Capabilities, Family, Kernel, Problem};
use crate::op::Op;
use crate::tensor::{DType, Tolerance};

/// One kernel launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The specialised kernel.
    pub kernel: Kernel,
    /// The bytes of its uniform `Params`.
    pub params: Vec<u8>,
    /// Workgroups per dimension.
    pub workgroups: [u32; 3],
}

impl Dispatch {
    /// The dispatches that run a problem with a kernel, in order.
    ///
    /// # Errors
    /// As [`Kernel::dispatch`].
    pub fn all(
        kernel: &Kernel,
        problem: &Problem,
        capabilities: &Capabilities,
    ) -> Result<Vec<Self>> {
        let launch = |kernel: Kernel| {
            let (params, workgroups) = kernel.dispatch(problem, capabilities)?;
            Ok(Self { kernel, params, workgroups })
        };
        kernel.dispatches().into_iter().map(launch).collect()
    }
}

/// A step and its dispatches. Executors other than the GPU read only the step.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStep {
    /// The step of the plan.
    pub step: Step,
    /// The selected kernel, whose [dispatches](Kernel::dispatches) run.
    pub kernel: Kernel,
    /// Why it was selected.
    pub reason: &'static str,
    /// The dispatches, in order.
    pub dispatches: Vec<Dispatch>,
    /// The data between the dispatches.
    pub scratch: Vec<Scratch>,
}

/// The work of one block, which becomes one command buffer with one compute pass, or several with
/// copies between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The block's index.
    pub block: usize,
    /// Its steps in order.
    pub steps: Vec<RecordedStep>,
}

/// Everything that an executor needs, except the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The plan that was recorded.
    pub plan: Plan,
    /// The location of each of the plan's tensors, by their index.
    pub locations: Vec<Location>,
    /// The workspace.
    pub slots: Vec<Slot>,
    /// One segment per block, in order.
    pub segments: Vec<Segment>,
}

impl Recording {
    /// Every recorded step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &RecordedStep> {
        self.segments.iter().flat_map(|segment| &segment.steps)
    }

    /// Gives every workspace tensor and every scratch its own slot. This needs more memory, and
    /// allows a guard band directly after each.
    pub fn unshare_slots(&mut self) {
        self.slots.clear();
        for (place, tensor) in self.locations.iter_mut().zip(&self.plan.tensors) {
            if let Location::Slot(slot) = place {
                *slot = self.slots.len();
                self.slots.push(Slot { bytes: tensor.bytes() });
            }
        }
        for scratch in self
            .segments
            .iter_mut()
            .flat_map(|segment| &mut segment.steps)
            .flat_map(|step| &mut step.scratch)
        {
            scratch.slot = self.slots.len();
            self.slots.push(Slot { bytes: scratch.bytes });
        }
    }

    /// Whether any step computes in half precision.
    #[must_use]
    pub fn has_half(&self) -> bool {
        self.steps().any(|step| step.kernel.dtype == DType::F16)
    }

    /// The accepted error of a run compared with the reference. It depends on the element type, the
    /// longest sum of the plan, and the kernels.
    #[must_use]
    pub fn tolerance(&self) -> Tolerance {
        let sums = Tolerance::for_sum(DType::F32, self.plan.longest_reduction());
        let halves = self.steps().filter(|step| step.kernel.dtype == DType::F16).count();
        let sums = if halves > 0 { sums.or(Tolerance::for_half(halves)) } else { sums };
        // A group's NaN meets the zeros of others in its matrix.
        let spreads = self.steps().any(|step| step.kernel.family == Family::Conv3x3GroupedMatrix);
        let sums = Tolerance { spreads, ..sums };
        if self.steps().any(|step| step.kernel.winograd.is_some()) {
            sums.or(Tolerance::TRANSFORMED)
        } else {
            sums
        }
    }

    /// Bytes by which the weights exceed those of the convolutions, because some kernels transform
    /// them.
    #[must_use]
    pub fn extra_weight_bytes(&self) -> u64 {
        self.steps()
            .map(|step| step.kernel.extra_weight_bytes(&self.plan.problem(&step.step)))
            .sum()
    }

    /// Floating-point operations of the convolutions as executed by the selected kernels
    /// ([`Kernel::executed_flops`](crate::kernel::Kernel::executed_flops)): fewer than
    /// [`Plan::conv_flops`] if Winograd kernels are among them.
    #[must_use]
    pub fn executed_flops(&self) -> u64 {
        let conv =
            |step: &&RecordedStep| matches!(step.step.op, Op::Conv { .. } | Op::JoinedConv { .. });
        self.steps()
            .filter(conv)
            .map(|step| step.kernel.executed_flops(&self.plan.problem(&step.step)))
            .sum()
    }

    /// The total number of kernel launches.
    #[must_use]
    pub fn dispatch_count(&self) -> usize {
        self.steps().map(|step| step.dispatches.len()).sum()
    }

    /// Bytes of the workspace.
    #[must_use]
    pub fn workspace_bytes(&self) -> usize {
        self.slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.bytes))
    }
}
