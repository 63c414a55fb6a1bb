//! The workspace of a recording: the slots of its tensors, the copies of slots into textures, and
//! those between slots.

use wgpu::{Buffer, BufferUsages, Texture};

use super::Gpu;
use super::launches::Launch;
use super::upload::Weights;
use crate::error::GpuError;
use crate::kernel::Binding;
use crate::plan::{Location, Recording, Slot, Update};

/// A copy of a tensor into the texture from which a kernel reads it.
#[derive(Debug)]
pub(super) struct TextureCopy {
    /// The launch that it precedes. For weights, the first of the segment, unless a step of that
    /// segment writes them.
    pub before: usize,
    pub slot: usize,
    pub texture: Texture,
}

/// Creates a buffer for each slot of a recording.
pub(super) fn slots(
    gpu: &Gpu,
    recording: &Recording,
    guard_bytes: u64,
) -> Result<Vec<Buffer>, GpuError> {
    // A slot may be bound as a uniform if it holds a tensor of a small number of values.
    let usage = BufferUsages::STORAGE
        | BufferUsages::UNIFORM
        | BufferUsages::COPY_DST
        | BufferUsages::COPY_SRC;
    let slot = |(index, slot): (usize, &Slot)| {
        gpu.buffer(
            &format!("workspace slot {index}"),
            (slot.bytes as u64).saturating_add(guard_bytes),
            usage,
        )
    };
    recording.slots.iter().enumerate().map(slot).collect()
}

/// The copies of tensors into textures.
pub(super) fn copies(recording: &Recording, launches: &[Launch]) -> Vec<TextureCopy> {
    let (mut copies, mut at) = (Vec::new(), 0);
    for segment in &recording.segments {
        let first = at;
        for recorded in &segment.steps {
            for (dispatch, launch) in recorded.dispatches.iter().zip(&launches[at..]) {
                let copied = match dispatch.kernel.copied() {
                    Some(Binding::CopiedInput(index)) => {
                        Some(recording.locations[recorded.step.inputs[index].0])
                    }
                    Some(Binding::CopiedScratch(index)) => {
                        Some(Location::Slot(recorded.scratch[index].slot))
                    }
                    _ => None,
                };
                if let (Some(texture), Some(Location::Slot(slot))) = (&launch.copied, copied) {
                    copies.push(TextureCopy { before: at, slot, texture: texture.clone() });
                }
                if let (Weights::Copied(texture, _), Some(id)) =
                    (&launch.weights, recorded.step.weights)
                    && let Location::Slot(slot) = recording.locations[id.0]
                {
                    let late = recording.plan.written_in(id) == Some(segment.block);
                    copies.push(TextureCopy {
                        before: if late { at } else { first },
                        slot,
                        texture: texture.clone(),
                    });
                }
                at += 1;
            }
        }
    }
    copies.sort_by_key(|copy| copy.before);
    copies
}

/// The copies after segments.
pub(super) fn updates(recording: &Recording) -> Vec<(usize, usize, usize, u64)> {
    let plan = &recording.plan;
    let copy = |&Update { from, to }: &Update| match (
        recording.locations[from.0],
        recording.locations[to.0],
    ) {
        (Location::Slot(source), Location::Slot(target)) => {
            Some((plan.written_in(from)?, source, target, plan.tensor(from).bytes() as u64))
        }
        _ => None,
    };
    plan.updates.iter().filter_map(copy).collect()
}
