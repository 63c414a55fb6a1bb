//! The state of an executor that all its runs share: launches, weights and workspace.

use wgpu::Buffer;

use super::Gpu;
use super::launches::Launch;
use super::workspace::TextureCopy;
use crate::plan::{Recording, TensorId};

/// The state of an executor that all its runs share.
#[derive(Debug)]
pub(super) struct Ready {
    pub gpu: Gpu,
    pub recording: Recording,
    /// Bytes of guard band after each tensor.
    pub guard_bytes: u64,
    /// One per dispatch, in order.
    pub launches: Vec<Launch>,
    pub weight_bytes: u64,
    /// Bytes of the textures that inputs and scratch are copied into.
    pub texture_bytes: u64,
    pub uniforms: Buffer,
    /// One per workspace slot.
    pub slots: Vec<Buffer>,
    /// The copies of tensors into textures, ordered by the launches that they precede.
    pub copies: Vec<TextureCopy>,
    /// The copies after segments: segment, source slot, target slot, number of bytes.
    pub updates: Vec<(usize, usize, usize, u64)>,
}

impl Ready {
    /// Bytes of a tensor of the plan, without its guard band.
    pub fn tensor_bytes(&self, id: TensorId) -> u64 {
        self.recording.plan.tensor(id).bytes() as u64
    }

    /// Bytes of the plan's output.
    pub fn output_bytes(&self) -> u64 {
        self.tensor_bytes(self.recording.plan.output)
    }
}
