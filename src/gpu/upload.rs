//! Packs and uploads the parameters of a recording's steps.

use std::borrow::Cow;

use wgpu::{Buffer, BufferUsages, Texture, TextureView};

use super::Gpu;
use super::texels::texture_bytes;
use crate::error::{GpuError, PrecisionError, Result};
use crate::op::StepParams;
use crate::plan::{Dispatch, Pow2Scale, Recording, Step};

/// The packed parameters that a dispatch reads.
#[derive(Debug)]
pub(super) enum Weights {
    None,
    Buffer(Buffer),
    Texture(TextureView),
    /// A tensor of the plan.
    Tensor,
    /// A tensor of the plan that is copied into a texture before each launch.
    Copied(Texture, TextureView),
}

/// Packs and uploads the step parameters that each dispatch reads.
pub(super) fn upload<'a>(
    recording: &Recording,
    uploader: &mut Uploader<'_>,
    mut params: impl FnMut(&Step) -> Result<Cow<'a, StepParams>>,
) -> Result<Vec<Weights>> {
    let mut all = Vec::with_capacity(recording.dispatch_count());
    let mut balance = Pow2Scale::default();
    for recorded in recording.steps() {
        let params = params(&recorded.step)?;
        if recorded.step.weights.is_some() {
            let problem = recording.plan.problem(&recorded.step);
            for Dispatch { kernel, .. } in &recorded.dispatches {
                all.push(match kernel.weights_texture(&problem) {
                    Some(size) => {
                        let texture =
                            uploader.gpu.texture(&format!("{} weights", recorded.step), size)?;
                        uploader.uploaded += texture_bytes(size);
                        let view = uploader.gpu.view(&texture)?;
                        Weights::Copied(texture, view)
                    }
                    None => Weights::Tensor,
                });
            }
            continue;
        }
        if !params.fit(&recorded.step.op) {
            let reason = "parameters of another operation or size";
            return Err(GpuError::Recording { step: recorded.step.to_string(), reason }.into());
        }
        let params = balance.params(&recording.plan, &recorded.step, params);
        let problem = recording.plan.problem(&recorded.step);
        for Dispatch { kernel, .. } in &recorded.dispatches {
            let packed = kernel.pack(&problem, &params);
            let too_large =
                |value| PrecisionError::Weight { step: recorded.step.to_string(), value };
            let name = format!("{} weights", recorded.step);
            all.push(match kernel.weights_texture(&problem) {
                Some(size) => Weights::Texture(uploader.texture(&name, packed, size)?),
                None if packed.is_empty() => Weights::None,
                None => Weights::Buffer(
                    uploader
                        .buffer(&name, &kernel.encode(&problem, &packed).map_err(too_large)?)?,
                ),
            });
        }
    }
    Ok(all)
}

/// Uploads weights, and waits whenever wgpu's staging copies exceed a size: wgpu frees them only
/// once the uploads are done.
pub(super) struct Uploader<'a> {
    gpu: &'a Gpu,
    under_way: u64,
    uploaded: u64,
}

/// Pending bytes at which an [`Uploader`] waits.
const MOST_UNDER_WAY: u64 = 16 << 20;

impl<'a> Uploader<'a> {
    pub fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, under_way: 0, uploaded: 0 }
    }

    /// As [`Gpu::buffer_with`], for a storage buffer.
    pub fn buffer(&mut self, what: &str, contents: &[u8]) -> Result<Buffer> {
        let buffer = self.gpu.buffer_with(what, contents, BufferUsages::STORAGE)?;
        self.count(buffer.size())?;
        Ok(buffer)
    }

    /// As [`Gpu::texture_with`].
    pub fn texture(&mut self, what: &str, values: Vec<f32>, size: [u32; 2]) -> Result<TextureView> {
        let view = self.gpu.texture_with(what, values, size)?;
        self.count(texture_bytes(size))?;
        Ok(view)
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        self.uploaded += bytes;
        self.under_way += bytes;
        if self.under_way >= MOST_UNDER_WAY { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.gpu.finish_uploads()?;
        self.under_way = 0;
        Ok(())
    }

    /// Bytes uploaded so far.
    pub fn uploaded(&self) -> u64 {
        self.uploaded
    }
}
