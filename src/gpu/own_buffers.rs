//! The buffers of an executor for runs on host tensors.

use std::sync::Arc;

use wgpu::{BindGroup, Buffer, BufferUsages};

use super::executor_state::Ready;
use super::proof::Proof;
use super::readback::Staging;
use super::upload_staging::UploadStaging;
use crate::error::Result;

/// Buffers for runs on host tensors, in addition to weights and workspace.
#[derive(Debug)]
pub(super) struct OwnBuffers {
    pub input: Buffer,
    pub output: Buffer,
    pub staging: Staging,
    /// The staging buffer for the next input; not reused if still unmapped after the last run.
    pub upload: Option<UploadStaging>,
    pub groups: Vec<BindGroup>,
    pub proof: Arc<Proof>,
}

impl OwnBuffers {
    /// Creates the buffers, except for the upload.
    pub fn new(ready: &Ready) -> Result<Self> {
        let (gpu, plan, guard) = (&ready.gpu, &ready.recording.plan, ready.guard_bytes);
        let (input_bytes, output_bytes) =
            (ready.tensor_bytes(plan.input), ready.tensor_bytes(plan.output));
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let input = gpu.buffer("input", input_bytes.saturating_add(guard), usage)?;
        let output = gpu.buffer("output", output_bytes.saturating_add(guard), usage)?;
        let staging = Staging::new(gpu, output_bytes)?;
        let groups = ready.bind_groups(&input, &output)?;
        let proof = gpu.proof(ready.copy_sections(), 1)?;
        Ok(Self { input, output, staging, upload: None, groups, proof })
    }
}
