//! Recordings: a plan with its kernels, memory and order, ready to be executed.

use super::{Placement, Plan, Slot, Step};
use crate::kernel::Kernel;

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

/// A step and the launches that carry it out. Executors other than the GPU read only the step.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStep {
    /// What is computed.
    pub step: Step,
    /// Why this kernel was picked.
    pub reason: &'static str,
    /// How, in order.
    pub dispatches: Vec<Dispatch>,
}

/// The work of one block, which becomes one command buffer with one compute pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The block's index.
    pub block: usize,
    /// Its steps in order.
    pub steps: Vec<RecordedStep>,
}

/// Everything an executor needs but the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The plan that was recorded.
    pub plan: Plan,
    /// The place of each of the plan's tensors, by their index.
    pub places: Vec<Placement>,
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

    /// Gives every tensor of the workspace a slot of its own: more memory, and a guard band can stand right behind each.
    pub fn unshare_slots(&mut self) {
        self.slots.clear();
        for (place, tensor) in self.places.iter_mut().zip(&self.plan.tensors) {
            if let Placement::Slot(slot) = place {
                *slot = self.slots.len();
                self.slots.push(Slot { bytes: tensor.bytes() });
            }
        }
    }

    /// Kernel launches in all.
    #[must_use]
    pub fn dispatch_count(&self) -> usize {
        self.steps().map(|step| step.dispatches.len()).sum()
    }

    /// Bytes of the workspace.
    #[must_use]
    pub fn workspace_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes).sum()
    }
}
