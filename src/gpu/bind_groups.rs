//! Bind groups: the buffers and textures of each dispatch, for one input and one output buffer.

use std::num::NonZeroU64;

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding,
    BufferUsages, TextureViewDescriptor,
};

use super::executor_state::Ready;
use super::launches::Launch;
use super::upload::Weights;
use crate::error::{GpuError, Result};
use crate::kernel::Binding;
use crate::plan::{Dispatch, Location, RecordedStep, Scratch, TensorId};

impl Ready {
    /// One bind group per dispatch, in order, with these buffers as input and output.
    ///
    /// # Errors
    /// [`GpuError::SameBuffer`]; [`GpuError::Buffer`]; any error of the device.
    pub(super) fn bind_groups(
        &self,
        input: &Buffer,
        output: &Buffer,
    ) -> Result<Vec<BindGroup>, GpuError> {
        if input == output {
            return Err(GpuError::SameBuffer);
        }
        let bytes = |id| self.tensor_bytes(id).saturating_add(self.guard_bytes);
        check_buffer("input", input, bytes(self.recording.plan.input))?;
        check_buffer("output", output, bytes(self.recording.plan.output))?;
        let inner = &self.gpu.inner;
        inner.monitor.guarded(&inner.device, "binding buffers", || {
            let dispatches = self.recording.steps().flat_map(|recorded| {
                recorded.dispatches.iter().map(move |dispatch| (recorded, dispatch))
            });
            let pairs = dispatches.zip(&self.launches);
            pairs
                .map(|((step, dispatch), launch)| {
                    self.bind_group(step, dispatch, launch, input, output)
                })
                .collect()
        })
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm per kind of binding")]
    fn bind_group(
        &self,
        recorded: &RecordedStep,
        dispatch: &Dispatch,
        launch: &Launch,
        input: &Buffer,
        output: &Buffer,
    ) -> BindGroup {
        let step = &recorded.step;
        // The tensor and its guard band, not all of the buffer: a caller's may be larger than a
        // binding can be.
        let bound = |buffer, bytes: u64| {
            let size = NonZeroU64::new(bytes + self.guard_bytes);
            BindingResource::Buffer(BufferBinding { buffer, offset: 0, size })
        };
        let tensor = |id: TensorId| {
            let buffer = match self.recording.locations[id.0] {
                Location::Input => input,
                Location::Output => output,
                Location::Slot(slot) => &self.slots[slot],
            };
            bound(buffer, self.tensor_bytes(id))
        };
        let scratch = |index: usize| {
            let Scratch { slot, bytes } = recorded.scratch[index];
            bound(&self.slots[slot], bytes as u64)
        };
        let params = || {
            let size = NonZeroU64::new(launch.uniform_bytes);
            BindingResource::Buffer(BufferBinding {
                buffer: &self.uniforms,
                offset: launch.uniform_offset,
                size,
            })
        };
        let copied = launch
            .copied
            .as_ref()
            .map(|texture| texture.create_view(&TextureViewDescriptor::default()));
        let resource = |binding: Binding| match (binding, &launch.weights) {
            (Binding::Params, _) => params(),
            (Binding::Input(index) | Binding::UniformInput(index), _) => tensor(step.inputs[index]),
            (Binding::CopiedInput(index), _) => match &copied {
                Some(view) => BindingResource::TextureView(view),
                None => tensor(step.inputs[index]),
            },
            (Binding::CopiedScratch(index), _) => match &copied {
                Some(view) => BindingResource::TextureView(view),
                None => scratch(index),
            },
            (Binding::Output, _) => tensor(step.output),
            (Binding::Scratch(index), _) => scratch(index),
            (Binding::Weights, Weights::Buffer(buffer)) => buffer.as_entire_binding(),
            (Binding::Bias, Weights::Buffer(buffer)) => {
                let offset = dispatch.kernel.bias_offset(&self.recording.plan.problem(step)) as u64;
                BindingResource::Buffer(BufferBinding { buffer, offset, size: None })
            }
            (Binding::Weights, Weights::Texture(view) | Weights::Copied(_, view)) => {
                BindingResource::TextureView(view)
            }
            (Binding::Weights, Weights::Tensor) if step.weights.is_some() => {
                tensor(step.weights.unwrap_or(step.output))
            }
            (Binding::Weights, Weights::None | Weights::Tensor) | (Binding::Bias, _) => {
                self.uniforms.as_entire_binding()
            }
        };
        let entries: Vec<BindGroupEntry<'_>> = (0..)
            .zip(dispatch.kernel.bindings())
            .map(|(binding, role)| BindGroupEntry { binding, resource: resource(role) })
            .collect();
        let label = step.to_string();
        self.gpu.inner.device.create_bind_group(&BindGroupDescriptor {
            label: Some(&label),
            layout: &launch.pipeline.layout,
            entries: &entries,
        })
    }
}

fn check_buffer(which: &'static str, buffer: &Buffer, bytes: u64) -> Result<(), GpuError> {
    let refuse = |reason| Err(GpuError::Buffer { buffer: which, reason });
    if buffer.size() < bytes {
        return refuse(format!("expected at least {bytes} bytes, found {}", buffer.size()));
    }
    if !buffer.usage().contains(BufferUsages::STORAGE) {
        return refuse(format!("expected usage STORAGE, found {:?}", buffer.usage()));
    }
    Ok(())
}
