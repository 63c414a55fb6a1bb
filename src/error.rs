//! Every error of the crate: typed, with the numbers in it, and one line of text that names the tensor or the parameter.

use std::path::PathBuf;

/// What any call of this crate can fail with.
///
/// [`Error::kind`] sorts the variants into the three groups that a program reacts to differently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or size is impossible, or does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A block specification is impossible.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A state dict does not hold what the block needs.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The GPU, its driver or its limits refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The three groups of errors, by who can do something about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for or passed in is wrong; the same call fails again.
    Input,
    /// The GPU failed, is lost or ran out of memory; another device or a later try may succeed.
    Gpu,
}

impl Error {
    /// Which group the error belongs to.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Gpu(error) if !error.is_input() => ErrorKind::Gpu,
            _ => ErrorKind::Input,
        }
    }
}

/// An impossible or unfitting shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A dimension is zero.
    #[error("{tensor}: shape {dims:?} has a dimension of size zero")]
    ZeroDim {
        /// The tensor.
        tensor: String,
        /// Its dimensions as found.
        dims: Vec<usize>,
    },
    /// The product of the dimensions does not fit in memory addresses.
    #[error("{tensor}: the size of shape {dims:?} overflows")]
    Overflow {
        /// The tensor.
        tensor: String,
        /// Its dimensions as found.
        dims: Vec<usize>,
    },
    /// A tensor has another shape than is needed here.
    #[error("{tensor}: expected shape {expected:?}, found {found:?}")]
    Mismatch {
        /// The tensor.
        tensor: String,
        /// The dimensions that are needed.
        expected: Vec<usize>,
        /// The dimensions as found.
        found: Vec<usize>,
    },
    /// The number of values is not the product of the dimensions.
    #[error("{tensor}: expected {expected} values, found {found}")]
    Length {
        /// The tensor.
        tensor: String,
        /// The product of the dimensions.
        expected: usize,
        /// The number of values passed.
        found: usize,
    },
    /// A convolution with a stride or dilation of zero, or groups that do not divide its channels.
    #[error(
        "{name}: stride {stride}, dilation {dilation}, groups {groups} with {in_channels} to {out_channels} channels cannot be"
    )]
    ImpossibleConv {
        /// The operation.
        name: &'static str,
        /// Channels read.
        in_channels: usize,
        /// Channels written.
        out_channels: usize,
        /// Its stride.
        stride: usize,
        /// Its dilation.
        dilation: usize,
        /// Its groups.
        groups: usize,
    },
    /// A tensor does not have four dimensions.
    #[error("{tensor}: expected 4 dimensions (N, C, H, W), found shape {dims:?}")]
    Rank {
        /// The tensor.
        tensor: String,
        /// Its dimensions as found.
        dims: Vec<usize>,
    },
}

/// An impossible block specification.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A parameter that must be at least one is zero.
    #[error("{parameter} must be at least 1, found 0")]
    Zero {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
    },
    /// `int(planes * base_width / 64) * groups` is zero.
    #[error("width = int({planes} * {base_width} / 64) * {groups} = 0: base_width is too small")]
    ZeroWidth {
        /// The block's planes.
        planes: usize,
        /// The block's base width.
        base_width: usize,
        /// The block's groups.
        groups: usize,
    },
    /// A number of channels is no multiple of the groups.
    #[error("{what}: {channels} channels cannot be divided into {groups} groups")]
    GroupsDoNotDivide {
        /// Which channels.
        what: &'static str,
        /// How many.
        channels: usize,
        /// The groups asked for.
        groups: usize,
    },
    /// A parameter is beyond what 32-bit GPU arithmetic holds.
    #[error("{parameter} = {value} is too large (at most {limit})")]
    TooLarge {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
        /// Its value.
        value: usize,
        /// The largest value accepted.
        limit: usize,
    },
    /// The shortcut needs a downsample and none was given.
    #[error(
        "a downsample is required: stride {stride}, inplanes {inplanes}, 4 * planes = {outplanes} (without one the shortcut \
         would only fit by broadcasting, or not at all)"
    )]
    DownsampleRequired {
        /// The block's stride.
        stride: usize,
        /// The block's input channels.
        inplanes: usize,
        /// The block's output channels.
        outplanes: usize,
    },
    /// The norm layer is none of those this crate knows.
    #[error("norm_layer {name} is not supported: use BatchNorm2d, FrozenBatchNorm2d or Identity")]
    UnsupportedNorm {
        /// The name as given.
        name: String,
    },
    /// `track_running_stats=False`: batch statistics even in eval mode.
    #[error(
        "{norm}: track_running_stats=False takes batch statistics in eval mode too; that needs training mode, which does not exist yet"
    )]
    BatchStatistics {
        /// The norm layer.
        norm: String,
    },
    /// eps is negative, NaN or infinite.
    #[error("eps must be finite and not negative, found {eps}")]
    Eps {
        /// The value given.
        eps: f64,
    },
    /// Two blocks of a chain do not fit together.
    #[error("block {block}: inplanes {found} does not match the {expected} channels that the block before it writes")]
    Chain {
        /// The index of the block in the chain.
        block: usize,
        /// Channels written by the block before.
        expected: usize,
        /// Its inplanes.
        found: usize,
    },
    /// A chain of no blocks.
    #[error("a chain needs at least one block")]
    EmptyChain,
    /// Two given parameters contradict what the checkpoint's shapes say.
    #[error("{parameter} = {given} contradicts {tensor}: its shape says {found}")]
    Contradicts {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
        /// The value given.
        given: usize,
        /// The tensor that contradicts it.
        tensor: String,
        /// What its shape says.
        found: String,
    },
}

/// A state dict that does not hold what the block needs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file is not safetensors, or damaged.
    #[error("{source_name}: not a readable safetensors file: {reason}")]
    Format {
        /// The file's name, or "safetensors" for bytes.
        source_name: String,
        /// What the parser says.
        reason: String,
    },
    /// A tensor is missing.
    #[error("tensor {tensor} is missing{hint}")]
    Missing {
        /// The full key.
        tensor: String,
        /// Empty, or what its absence may mean.
        hint: String,
    },
    /// A tensor has the wrong shape.
    #[error("tensor {tensor}: expected shape {expected}, found {found:?}")]
    Shape {
        /// The full key.
        tensor: String,
        /// The shape that is needed, in words.
        expected: String,
        /// The shape as found.
        found: Vec<usize>,
    },
    /// A tensor has an element type that is not read.
    #[error("tensor {tensor}: element type {found} is not supported, expected F32, F16 or BF16")]
    ElementType {
        /// The full key.
        tensor: String,
        /// Its element type.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {tensor}: value {value} at index {index}: weights must be finite")]
    NonFinite {
        /// The full key.
        tensor: String,
        /// Its flat index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A running variance is negative, or zero together with eps.
    #[error(
        "tensor {tensor}: variance {value} at index {index} with eps {eps}: the sum must be positive and the variance not negative"
    )]
    Variance {
        /// The full key.
        tensor: String,
        /// The channel.
        index: usize,
        /// The variance.
        value: f32,
        /// The eps it is used with.
        eps: f64,
    },
    /// Folding a norm into its convolution leaves the range of f32.
    #[error("tensor {tensor}: folding its norm gives {value:e} at index {index}, beyond the range of f32")]
    FoldOverflow {
        /// The convolution's key.
        tensor: String,
        /// Flat index of the folded value.
        index: usize,
        /// The folded value.
        value: f64,
    },
    /// A shortcut that is known but not supported.
    #[error("tensor {tensor}: {what} is not supported; a downsample is one strided 1x1 convolution and its norm")]
    Shortcut {
        /// The key that gives it away.
        tensor: String,
        /// What kind of shortcut it is.
        what: &'static str,
    },
    /// A tensor that belongs to the block is there although the specification has no place for it.
    #[error("tensor {tensor} is present but {why}")]
    Unexpected {
        /// The full key.
        tensor: String,
        /// Why it has no place.
        why: &'static str,
    },
}

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
    /// Input and output are the same buffer.
    #[error("input and output are the same buffer: the input is never modified, give the output a buffer of its own")]
    SameBuffer,
    /// The device's memory is used up.
    #[error("out of device memory while {doing}")]
    OutOfMemory {
        /// What was being done.
        doing: &'static str,
    },
    /// The device is lost; load again on a new one.
    #[error("the device is lost: {reason}")]
    Lost {
        /// What the driver said.
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
    fn is_input(&self) -> bool {
        matches!(
            self,
            GpuError::NoAdapter { .. }
                | GpuError::Environment { .. }
                | GpuError::TooLarge { .. }
                | GpuError::TooManyWorkgroups { .. }
                | GpuError::NoSuchKernel { .. }
                | GpuError::Buffer { .. }
                | GpuError::SameBuffer
                | GpuError::Recording { .. }
        )
    }
}

/// Names joined by commas, or "none".
fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;
