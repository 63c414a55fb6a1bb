//! Errors of devices, device limits and the work that runs on them.

use super::PatchError;

/// Errors of the GPU, its driver and its limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter matches the request.
    #[error("no adapter matches {wanted}; present: {}", list(present))]
    NoAdapter {
        /// The requested adapter.
        wanted: String,
        /// The available adapters.
        present: Vec<String>,
    },
    /// An environment variable has an invalid value.
    #[error("{variable}={value} is not valid: expected {expected}")]
    Environment {
        /// The variable's name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The valid values.
        expected: &'static str,
    },
    /// The adapter provided no device.
    #[error("{adapter}: no device: {reason}{}", or_another(others))]
    NoDevice {
        /// The adapter.
        adapter: String,
        /// The driver's message.
        reason: String,
        /// The other adapters, each with its index in [`adapters`](crate::gpu::adapters).
        others: Vec<String>,
    },
    /// Something is larger than this device allows.
    #[error("{what} needs {bytes} bytes, the device's limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        bytes: u64,
        /// The limit that it exceeds.
        limit: u64,
    },
    /// A dispatch needs more workgroups than the device allows.
    #[error("{kernel}: {workgroups:?} workgroups, the device's limit is {limit} per dimension")]
    TooManyWorkgroups {
        /// The kernel.
        kernel: String,
        /// The workgroups it needs, per dimension.
        workgroups: [u64; 3],
        /// The limit per dimension.
        limit: u32,
    },
    /// A kernel does not fit within the device's limits.
    #[error("{kernel}: needs {needs} {resource}, the device's limit is {limit}")]
    KernelLimit {
        /// The kernel.
        kernel: String,
        /// The limited resource.
        resource: &'static str,
        /// The amount that the kernel needs.
        needs: u64,
        /// The device's limit.
        limit: u64,
    },
    /// The kernel requested by name does not fit the step, or does not exist.
    #[error("no kernel {kernel} for {step}; candidates: {}", list(candidates))]
    NoSuchKernel {
        /// The requested name.
        kernel: String,
        /// The step.
        step: String,
        /// The available kernels.
        candidates: Vec<String>,
    },
    /// A recording made or changed by hand is inconsistent and is not run.
    #[error("recording, {step}: {reason}")]
    Recording {
        /// The step, or another part of the recording.
        step: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A patch does not fit its shader.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// naga rejected a shader (a bug of this crate).
    #[error("{kernel}: shader rejected: {reason}")]
    Shader {
        /// The kernel.
        kernel: String,
        /// naga's message.
        reason: String,
    },
    /// The driver does not compile a kernel. If the device is one of this crate, loading has
    /// already been tried without this kernel and others. On a borrowed device, load again on a
    /// new device after [`Gpu::without_kernels`](crate::Gpu::without_kernels).
    #[error("the driver does not compile the kernel {kernel}: {reason}")]
    Compile {
        /// The kernel.
        kernel: String,
        /// The message of the driver or of wgpu.
        reason: String,
    },
    /// A caller's buffer cannot be used.
    #[error("{buffer} buffer: {reason}")]
    Buffer {
        /// Which buffer: "input" or "output".
        buffer: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An sRGB texture was created without the view format that is needed to read its stored bytes.
    #[error(
        "image texture: format {format}, but its view_formats do not contain {stored}, which is \
        needed to read the stored bytes: create it with view_formats: &[TextureFormat::{stored}], \
        or copy it into a texture of {stored}"
    )]
    ViewFormat {
        /// The texture's format.
        format: String,
        /// The same format without sRGB.
        stored: String,
    },
    /// Input and output are the same buffer.
    #[error(
        "input and output are the same buffer, but the input is never modified: use a separate \
        output buffer"
    )]
    SameBuffer,
    /// The device is out of memory.
    #[error("out of device memory while {doing}")]
    OutOfMemory {
        /// What was being done.
        doing: &'static str,
    },
    /// The device is lost, or was destroyed by `wgpu::Device::destroy`; load again on a new one.
    #[error("the device is lost: {reason}")]
    Lost {
        /// The reason reported by wgpu or the driver, if known.
        reason: String,
    },
    /// The device computed a wrong result.
    #[error("wrong result while {doing}: {reason}")]
    Wrong {
        /// What was being done.
        doing: &'static str,
        /// What is wrong with the result.
        reason: String,
    },
    /// wgpu reported a validation or internal error (a bug of this crate, or of the driver).
    #[error("the device reported an error while {doing}: {reason}")]
    Device {
        /// What was being done.
        doing: &'static str,
        /// The first line of wgpu's message.
        reason: String,
    },
}

impl GpuError {
    /// Whether the device as a whole has failed: it is lost, out of memory, or lost with a kernel
    /// that its driver does not compile. Such an error says nothing about the request.
    #[must_use]
    pub fn is_device_failure(&self) -> bool {
        matches!(
            self,
            GpuError::Lost { .. } | GpuError::OutOfMemory { .. } | GpuError::Compile { .. }
        )
    }

    /// Whether the request is invalid, as opposed to the GPU failing.
    pub(super) fn is_input(&self) -> bool {
        matches!(
            self,
            GpuError::NoAdapter { .. }
                | GpuError::Environment { .. }
                | GpuError::TooLarge { .. }
                | GpuError::TooManyWorkgroups { .. }
                | GpuError::NoSuchKernel { .. }
                | GpuError::Buffer { .. }
                | GpuError::ViewFormat { .. }
                | GpuError::SameBuffer
                | GpuError::Recording { .. }
                | GpuError::Patch(_)
        )
    }
}

/// The other adapters, if there are any.
fn or_another(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!("; other adapters: {}", list(others)) }
}

/// Names joined by commas, or "none".
fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
