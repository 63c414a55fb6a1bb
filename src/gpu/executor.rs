//! Executes recordings: pipelines, weights and workspace are created once, bind groups for each
//! pair of input and output.

use std::borrow::Cow;
use std::sync::Arc;

use wgpu::{Buffer, BufferUsages};

use super::executor_state::Ready;
use super::launches::launches;
use super::own_buffers::OwnBuffers;
use super::texels::texture_bytes;
use super::upload::{Uploader, upload};
use super::workspace::{copies, slots, updates};
use super::{Bound, Gpu, Memory};
use crate::error::{GpuError, Result};
use crate::kernel::Kernel;
use crate::op::StepParams;
use crate::plan::{Recording, Step};

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
        // SAFETY: `Recording::check` accepted the recording for this device.
        unsafe { Self::new_unchecked(gpu, recording, params, options) }
    }

    /// [`Executor::new`] without [`Recording::check`]: for tests of the errors that the check
    /// prevents.
    ///
    /// # Safety
    /// Kernels may run without bounds checks: a recording that [`Recording::check`] refuses for
    /// this device may read and write other memory.
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
                ("as a whole".to_owned(), "the numbers of parameters and steps differ");
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
        let slots = slots(gpu, &recording, options.guard_bytes)?;
        let (copies, updates) = (copies(&recording, &launches), updates(&recording));
        gpu.finish_uploads()?;
        let gpu = gpu.clone();
        let ready = Arc::new(Ready {
            gpu,
            recording,
            guard_bytes: options.guard_bytes,
            launches,
            weight_bytes,
            texture_bytes,
            uniforms,
            slots,
            copies,
            updates,
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
        Bound::new(self.ready.clone(), input, output)
    }

    /// Binds the input and output buffers that another executor created for its own runs: for
    /// the tuner, so that all candidates share buffers. The other executor must have run.
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
