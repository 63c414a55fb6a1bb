//! Assigns tensors to workspace slots.
//!
//! A step's scratch, the data between its dispatches, lives for that step only.
//!
//! A tensor lives from the step that writes it to the last step that reads it, or to the end if the
//! plan fetches it. A variable lives for the whole run. The source of an update lives until the end
//! of the segment after which it is copied. Each slot is a separate buffer and not a
//! range of one arena: wgpu tracks whole buffers, so ranges of one buffer would wait for each other
//! needlessly.

use super::{Plan, TensorId};

/// Where a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// In the caller's input buffer.
    Input,
    /// In the caller's output buffer.
    Output,
    /// In the workspace slot with this index.
    Slot(usize),
}

/// A workspace buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Bytes of the largest tensor or scratch that it holds.
    pub bytes: usize,
}

/// Workspace of a single step, between its dispatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scratch {
    /// Its slot, which no other scratch of the step and no live tensor uses.
    pub slot: usize,
    /// Its size in bytes.
    pub bytes: usize,
}

/// The memory plan: where everything of a plan is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The location of each tensor, by its index.
    pub tensors: Vec<Location>,
    /// The scratch of each step, in order.
    pub scratch: Vec<Vec<Scratch>>,
    /// The workspace.
    pub slots: Vec<Slot>,
}

/// Assigns a location to every tensor of a plan, and scratch of these sizes in bytes to every step.
/// Walks the steps in order. Each output or scratch takes the free slot with the nearest size, or a
/// new one. A step's inputs and scratch are freed only after it, so none of them shares the
/// output's slot.
#[must_use]
pub fn assign(plan: &Plan, scratch: &[Vec<usize>]) -> MemoryPlan {
    let last_use = last_uses(plan);
    let mut locations = vec![Location::Input; plan.tensors.len()];
    let mut scratches = Vec::with_capacity(plan.steps.len());
    let mut pool = Pool::default();
    for &id in &plan.variables {
        locations[id.0] = Location::Slot(pool.take(plan.tensor(id).bytes()));
    }
    let stays = |id: &TensorId| plan.fetches.contains(id) || plan.variables.contains(id);
    for (index, step) in plan.steps.iter().enumerate() {
        locations[step.output.0] = if step.output == plan.output {
            Location::Output
        } else {
            Location::Slot(pool.take(plan.tensor(step.output).bytes()))
        };
        let bytes = scratch.get(index).into_iter().flatten();
        let own: Vec<Scratch> =
            bytes.map(|&bytes| Scratch { slot: pool.take(bytes), bytes }).collect();
        pool.free.extend(own.iter().map(|scratch| scratch.slot));
        scratches.push(own);
        let mut ended: Vec<TensorId> = Vec::new();
        let updates = plan.updates.iter().map(|update| update.from);
        for id in step.reads().chain(updates).filter(|id| last_use[id.0] == index && !stays(id)) {
            if !ended.contains(&id) {
                ended.push(id);
            }
        }
        pool.free.extend(ended.iter().filter_map(|id| match locations[id.0] {
            Location::Slot(slot) => Some(slot),
            Location::Input | Location::Output => None,
        }));
    }
    MemoryPlan { tensors: locations, scratch: scratches, slots: pool.slots }
}

/// The step after which each tensor is no longer needed, by its index: the last one that reads it
/// or, if it replaces another tensor, the last one of the segment that writes it.
fn last_uses(plan: &Plan) -> Vec<usize> {
    let mut last = vec![0; plan.tensors.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        step.reads().for_each(|id| last[id.0] = index);
    }
    for carry in &plan.updates {
        let end = plan
            .written_in(carry.from)
            .and_then(|block| plan.blocks.get(block))
            .map_or(0, |block| block.end);
        last[carry.from.0] = last[carry.from.0].max(end.saturating_sub(1));
    }
    last
}

/// All slots so far, and the free ones.
#[derive(Default)]
struct Pool {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Pool {
    /// The free slot with the nearest size, enlarged if necessary, or a new one.
    fn take(&mut self, bytes: usize) -> usize {
        let nearest =
            (0..self.free.len()).min_by_key(|&at| self.slots[self.free[at]].bytes.abs_diff(bytes));
        let slot = nearest.map_or(self.slots.len(), |at| self.free.swap_remove(at));
        match self.slots.get_mut(slot) {
            Some(slot) => slot.bytes = slot.bytes.max(bytes),
            None => self.slots.push(Slot { bytes }),
        }
        slot
    }
}
