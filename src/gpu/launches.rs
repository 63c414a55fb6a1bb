//! The dispatches of a recording, ready to launch: pipelines, packed weights and parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use wgpu::Texture;

use super::Gpu;
use super::pipeline::Pipeline;
use super::upload::Weights;
use crate::error::{GpuError, Result};
use crate::plan::Recording;

/// The state of one dispatch, apart from the tensors.
#[derive(Debug)]
pub(super) struct Launch {
    pub pipeline: Arc<Pipeline>,
    pub workgroups: [u32; 3],
    pub uniform_offset: u64,
    pub uniform_bytes: u64,
    pub weights: Weights,
    /// The texture of an input or of scratch, if the kernel reads one from a texture. Launches
    /// share it, since it is filled again for each.
    pub copied: Option<Texture>,
}

/// The launches of a recording with these weights, the bytes of their uniforms, and the textures
/// that are written in a run, by size.
#[allow(clippy::type_complexity, reason = "three parts of an executor, used once")]
pub(super) fn launches(
    gpu: &Gpu,
    recording: &Recording,
    weights: Vec<Weights>,
) -> Result<(Vec<Launch>, Vec<u8>, BTreeMap<[u32; 2], Texture>)> {
    let align = u64::from(gpu.inner.device.limits().min_uniform_buffer_offset_alignment).max(16);
    let (mut launches, mut uniforms) = (Vec::with_capacity(weights.len()), Vec::new());
    let mut textures = BTreeMap::new();
    let dispatches = recording
        .steps()
        .flat_map(|step| step.dispatches.iter().map(move |dispatch| (step, dispatch)));
    for ((recorded, dispatch), weights) in dispatches.zip(weights) {
        let copied = match dispatch
            .kernel
            .copied_texture(&recording.plan.problem(&recorded.step), gpu.capabilities())
        {
            Some((size, _)) => Some(shared_texture(gpu, &mut textures, size)?),
            None => None,
        };
        uniforms.resize((uniforms.len() as u64).next_multiple_of(align) as usize, 0);
        let uniform_offset = uniforms.len() as u64;
        uniforms.extend_from_slice(&dispatch.params);
        launches.push(Launch {
            pipeline: gpu.pipeline(dispatch.kernel)?,
            workgroups: dispatch.workgroups,
            uniform_offset,
            uniform_bytes: dispatch.params.len() as u64,
            weights,
            copied,
        });
    }
    Ok((launches, uniforms, textures))
}

/// Returns the texture of this size from the shared ones, or creates it.
fn shared_texture(
    gpu: &Gpu,
    textures: &mut BTreeMap<[u32; 2], Texture>,
    size: [u32; 2],
) -> Result<Texture, GpuError> {
    if let Some(texture) = textures.get(&size) {
        return Ok(texture.clone());
    }
    let texture = gpu.texture("copied", size)?;
    textures.insert(size, texture.clone());
    Ok(texture)
}
