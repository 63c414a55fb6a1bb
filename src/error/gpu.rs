//! Errors of devices, their limits and what is run on them.

use super::PatchError;

/// What the GPU side can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter fits what was asked for.
    #[error("no adapter matches {wanted}; present: {}", list(present))]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters that are there.
        present: Vec<String>,
    },
    /// An environment variable holds something it cannot mean.
    #[error("{variable}={value} is not understood: expected {expected}")]
    Environment {
        /// The variable's name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The adapter gave no device.
    #[error("{adapter}: no device: {reason}")]
    NoDevice {
        /// The adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// Something is larger than this device allows.
    #[error("{what} needs {bytes} bytes, the device's limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        bytes: u64,
        /// The limit it exceeds.
        limit: u64,
    },
    /// A dispatch needs more workgroups than the device allows.
    #[error("{kernel}: {workgroups:?} workgroups, the device's limit is {limit} per dimension")]
    TooManyWorkgroups {
        /// The kernel.
        kernel: String,
        /// What it needs.
        workgroups: [u64; 3],
        /// The limit per dimension.
        limit: u32,
    },
    /// A kernel does not fit within the device's limits.
    #[error("{kernel}: needs {needs} {resource}, the device's limit is {limit}")]
    KernelLimit {
        /// The kernel.
        kernel: String,
        /// Of what.
        resource: &'static str,
        /// How many it needs.
        needs: u64,
        /// How many there are.
        limit: u64,
    },
    /// A kernel was asked for by name that does not fit the step, or does not exist.
    #[error("no kernel {kernel} for {step}; candidates: {}", list(candidates))]
    NoSuchKernel {
        /// The name asked for.
        kernel: String,
        /// The step.
        step: String,
        /// What there is.
        candidates: Vec<String>,
    },
    /// A recording made or changed by hand does not hold together, and is not run.
    #[error("recording, {step}: {reason}")]
    Recording {
        /// The step, or what else is wrong.
        step: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A patch does not fit the shader that it is for.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// naga refused a shader (a bug of this crate).
    #[error("{kernel}: shader refused: {reason}")]
    Shader {
        /// The kernel.
        kernel: String,
        /// What naga said.
        reason: String,
    },
    /// A caller's buffer cannot be used.
    #[error("{buffer} buffer: {reason}")]
    Buffer {
        /// Which one: "input" or "output".
        buffer: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A texture in sRGB was created without the format that its stored bytes are read in.
    #[error(
        "picture texture: format {format}, created without {stored} among its view_formats, in which its stored \
        bytes are read: create it with view_formats: &[TextureFormat::{stored}], or copy it into a texture of {stored}"
    )]
    ViewFormat {
        /// The texture's format.
        format: String,
        /// The same format without sRGB.
        stored: String,
    },
    /// Input and output are the same buffer.
    #[error("input and output are the same buffer: the input is never modified, give the output a buffer of its own")]
    SameBuffer,
    /// The device's memory is used up.
    #[error("out of device memory while {doing}")]
    OutOfMemory {
        /// What was being done.
        doing: &'static str,
    },
    /// The device is lost, or was destroyed by `wgpu::Device::destroy`; load again on a new one.
    #[error("the device is lost: {reason}")]
    Lost {
        /// What wgpu or the driver reports, as far as it is known.
        reason: String,
    },
    /// The device computed something else than it should have.
    #[error("wrong numbers while {doing}: {reason}")]
    Wrong {
        /// What was being done.
        doing: &'static str,
        /// What came out.
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
    /// Whether the caller asked for something that cannot be, as opposed to the GPU failing.
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

/// Names joined by commas, or "none".
fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
