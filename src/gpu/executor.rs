//! Executes recordings: pipelines, weights and workspace are created once, bind groups for each
//! pair of input and output.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding,
    BufferUsages, Texture, TextureViewDescriptor,
};

use super::host_run::OwnBuffers;
use super::pipeline::Pipeline;
use super::texels::texture_bytes;
use super::upload::{Uploader, Weights, upload};
use super::{Bound, Gpu, Memory};
use crate::error::{GpuError, Result};
use crate::kernel::{Binding, Kernel};
use crate::op::StepParams;
use crate::plan::{Dispatch, Location, RecordedStep, Recording, Scratch, Step, TensorId, Update};

/// Options for the memory of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExecutorOptions {
    /// Bytes of guard band after each tensor, inside its binding, that no kernel may touch: for
    /// self tests. A multiple of 4. If not zero, [`BlockChain`](crate::BlockChain) gives every
    /// tensor a separate slot.
    pub guard_bytes: u64,
}

/// A recording on a device: compiled, with weights and workspace allocated, ready to run any number
/// of times.
#[derive(Debug)]
pub struct Executor {
    pub(super) ready: Arc<Ready>,
    /// Input, output and staging buffers of [`Executor::run`], created on its first call.
    pub(super) own: Option<OwnBuffers>,
}

/// The state shared by all runs.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) gpu: Gpu,
    pub(super) recording: Recording,
    pub(super) options: ExecutorOptions,
    /// One per dispatch, in order.
    pub(super) launches: Vec<Launch>,
    weight_bytes: u64,
    /// Bytes of the textures that inputs and scratch are copied into.
    texture_bytes: u64,
    uniforms: Buffer,
    /// One per workspace slot.
    pub(super) slots: Vec<Buffer>,
    /// The copies of tensors into textures, ordered by the launches that they precede.
    pub(super) copies: Vec<TextureCopy>,
    /// The copies after segments: segment, source slot, target slot, number of bytes.
    pub(super) updates: Vec<(usize, usize, usize, u64)>,
}

/// A copy of a tensor into the texture from which a kernel reads it.
#[derive(Debug)]
pub(super) struct TextureCopy {
    /// The launch that it precedes. For weights, the first of the segment, unless a step of that
    /// segment writes them.
    pub(super) before: usize,
    pub(super) slot: usize,
    pub(super) texture: Texture,
}

/// The state of one dispatch, apart from the tensors.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) workgroups: [u32; 3],
    uniform_offset: u64,
    uniform_bytes: u64,
    weights: Weights,
    /// The texture of an input or of scratch, if the kernel reads one from a texture. Launches
    /// share it, since it is filled again for each.
    copied: Option<Texture>,
}

impl Executor {
    /// Compiles the kernels and uploads the packed parameters. `params` are the parameters of the
    /// recording's steps, in order.
    ///
    /// # Errors
    /// Any error of [`Recording::check`]; [`GpuError::Recording`] if parameters do not fit the
    /// recording; [`GpuError::TooLarge`], [`GpuError::KernelLimit`], [`GpuError::OutOfMemory`], or
    /// any error of the device.
    pub fn new(
        gpu: &Gpu,
        recording: Recording,
        params: &[StepParams],
        options: ExecutorOptions,
    ) -> Result<Self> {
        recording.check(gpu.capabilities())?;
        // SAFETY: just checked.
        unsafe { Self::new_unchecked(gpu, recording, params, options) }
    }

    /// [`Executor::new`] without [`Recording::check`]: for tests of what the check prevents.
    ///
    /// # Safety
    /// Kernels may run without bounds checks: dispatches that do not fit the tensors read and write
    /// other memory.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub unsafe fn new_unchecked(
        gpu: &Gpu,
        recording: Recording,
        params: &[StepParams],
        options: ExecutorOptions,
    ) -> Result<Self> {
        if params.len() != recording.steps().count() {
            let (step, reason) =
                ("as a whole".to_owned(), "there must be parameters for every step");
            return Err(GpuError::Recording { step, reason }.into());
        }
        let mut params = params.iter();
        Self::build(
            gpu,
            recording,
            |_| Ok(params.next().map_or(Cow::Owned(StepParams::None), Cow::Borrowed)),
            options,
        )
    }

    /// [`Executor::new`] that requests the parameters of one step at a time, in order, so that they
    /// are never in memory all at once.
    ///
    /// # Errors
    /// As [`Executor::new`], and any error of `params`.
    pub fn streamed(
        gpu: &Gpu,
        recording: Recording,
        mut params: impl FnMut(&Step) -> Result<StepParams>,
        options: ExecutorOptions,
    ) -> Result<Self> {
        recording.check(gpu.capabilities())?;
        Self::build(gpu, recording, |step| Ok(Cow::Owned(params(step)?)), options)
    }

    fn build<'a>(
        gpu: &Gpu,
        recording: Recording,
        params: impl FnMut(&Step) -> Result<Cow<'a, StepParams>>,
        options: ExecutorOptions,
    ) -> Result<Self> {
        let kernels: Vec<Kernel> = recording
            .steps()
            .flat_map(|step| &step.dispatches)
            .map(|dispatch| dispatch.kernel)
            .collect();
        let mut uploader = Uploader::new(gpu);
        let weights = gpu.compile_while(&kernels, || upload(&recording, &mut uploader, params))?;
        let weight_bytes = uploader.uploaded();
        let (launches, uniforms, textures) = launches(gpu, &recording, weights)?;
        let texture_bytes = textures.keys().map(|&size| texture_bytes(size)).sum();
        let uniforms = gpu.buffer_with("params", &uniforms, BufferUsages::UNIFORM)?;
        // Of a slot, a tensor of few numbers may be bound as a uniform.
        let usage = BufferUsages::STORAGE
            | BufferUsages::UNIFORM
            | BufferUsages::COPY_DST
            | BufferUsages::COPY_SRC;
        let slot = |(index, slot): (usize, &crate::plan::Slot)| {
            gpu.buffer(
                &format!("workspace slot {index}"),
                slot.bytes as u64 + options.guard_bytes,
                usage,
            )
        };
        let slots =
            recording.slots.iter().enumerate().map(slot).collect::<Result<_, GpuError>>()?;
        let (copies, carried) = (copies(&recording, &launches), updates(&recording));
        let gpu = gpu.clone();
        let ready = Arc::new(Ready {
            gpu,
            recording,
            options,
            launches,
            weight_bytes,
            texture_bytes,
            uniforms,
            slots,
            copies,
            updates: carried,
        });
        Ok(Self { ready, own: None })
    }

    /// The recording that is executed.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.ready.recording
    }

    /// The device it runs on.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.ready.gpu
    }

    /// The device memory that it uses.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let ready = &self.ready;
        Memory {
            weights: ready.weight_bytes,
            extra_weights: ready.recording.extra_weight_bytes(),
            workspace: ready.slots.iter().map(Buffer::size).sum::<u64>() + ready.texture_bytes,
            params: ready.uniforms.size(),
            input: self.input_bytes(),
            output: self.output_bytes(),
            staging: self.input_bytes() + self.output_bytes(),
        }
    }

    /// Required size of the input buffer: NHWC, channels padded to a multiple of 4, the plan's
    /// element type (f32, unless loaded with `half_edges`). Padding must be zero.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        self.ready.tensor_bytes(self.ready.recording.plan.input)
    }

    /// Required size of the output buffer: NHWC, channels padded to a multiple of 4, f32. Padding
    /// is written as zero.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.ready.tensor_bytes(self.ready.recording.plan.output)
    }

    /// Binds the caller's buffers: NHWC as described at [`input_bytes`](Self::input_bytes), with
    /// usage `STORAGE`.
    ///
    /// # Errors
    /// [`GpuError::SameBuffer`]; [`GpuError::Buffer`] if one is too small or lacks the usage.
    pub fn bind(&self, input: &Buffer, output: &Buffer) -> Result<Bound> {
        Ok(Bound { ready: self.ready.clone(), groups: self.ready.bind_groups(input, output)? })
    }

    /// Binds the input and output buffers that another executor created for its own runs: for
    /// contests, so that the contestants share buffers. The other executor must have run.
    pub(crate) fn bind_shared(&self, other: &Self) -> Result<Bound> {
        let Some(own) = &other.own else {
            return Err(GpuError::Buffer {
                buffer: "input",
                reason: "the other executor never ran".to_owned(),
            }
            .into());
        };
        self.bind(&own.input, &own.output)
    }
}

impl Ready {
    fn tensor_bytes(&self, id: TensorId) -> u64 {
        self.recording.plan.tensor(id).bytes() as u64
    }

    pub(super) fn bind_groups(
        &self,
        input: &Buffer,
        output: &Buffer,
    ) -> Result<Vec<BindGroup>, GpuError> {
        if input == output {
            return Err(GpuError::SameBuffer);
        }
        let guard = self.options.guard_bytes;
        check_buffer("input", input, self.tensor_bytes(self.recording.plan.input) + guard)?;
        check_buffer("output", output, self.tensor_bytes(self.recording.plan.output) + guard)?;
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
            let size = NonZeroU64::new(bytes + self.options.guard_bytes);
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

/// The launches of a recording with these weights, the bytes of their uniforms, and the textures
/// that are written in a run, by size.
#[allow(clippy::type_complexity, reason = "three parts of an executor, used once")]
fn launches(
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

/// The copies of tensors into textures.
fn copies(recording: &Recording, launches: &[Launch]) -> Vec<TextureCopy> {
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
fn updates(recording: &Recording) -> Vec<(usize, usize, usize, u64)> {
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
