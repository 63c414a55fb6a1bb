//! Which tensors share a workspace slot.
//!
//! A tensor lives from the step that writes it to the last step that reads it, or to the end where the plan keeps it. Each
//! slot is a buffer of its own rather than a range of one arena: wgpu tracks whole buffers, so ranges of one buffer would
//! wait for each other for nothing.

use super::{Plan, TensorId};

/// Where a tensor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// In the caller's input buffer.
    Input,
    /// In the caller's output buffer.
    Output,
    /// In the workspace slot of this index.
    Slot(usize),
}

/// A workspace buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Bytes of the largest tensor that it holds.
    pub bytes: usize,
}

/// Assigns every tensor of a plan its place. Walks the steps in order; a written tensor takes, of the slots free at that
/// step, the one whose size is nearest, or a new one. A step's inputs are freed only after it, so that none of them shares
/// the output's slot.
#[must_use]
pub fn assign(plan: &Plan) -> (Vec<Placement>, Vec<Slot>) {
    let mut last_read = vec![0; plan.tensors.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        step.inputs.iter().for_each(|id| last_read[id.0] = index);
    }
    let mut places = vec![Placement::Input; plan.tensors.len()];
    let mut slots: Vec<Slot> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        places[step.output.0] = if step.output == plan.output {
            Placement::Output
        } else {
            let bytes = plan.tensor(step.output).bytes();
            let nearest = (0..free.len()).min_by_key(|&at| slots[free[at]].bytes.abs_diff(bytes));
            let slot = nearest.map_or(slots.len(), |at| free.swap_remove(at));
            match slots.get_mut(slot) {
                Some(slot) => slot.bytes = slot.bytes.max(bytes),
                None => slots.push(Slot { bytes }),
            }
            Placement::Slot(slot)
        };
        let mut ended: Vec<TensorId> =
            step.inputs.iter().copied().filter(|id| last_read[id.0] == index && !plan.kept.contains(id)).collect();
        ended.dedup();
        free.extend(ended.iter().filter_map(|id| match places[id.0] {
            Placement::Slot(slot) => Some(slot),
            Placement::Input | Placement::Output => None,
        }));
    }
    (places, slots)
}
