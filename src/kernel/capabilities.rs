//! The capabilities of a device that affect the choice of kernels.

use super::Chip;

/// Limits and kind of a device. Plain data, so that a choice can be tested without the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Bytes of the largest storage binding. For a device, at most
    /// [`Capabilities::MAX_BINDING_BYTES`].
    pub max_binding_bytes: u64,
    /// Workgroups per dimension.
    pub max_workgroups: u32,
    /// Invocations of one workgroup.
    pub max_invocations: u32,
    /// Invocations of one workgroup along x.
    pub max_workgroup_x: u32,
    /// Invocations of one workgroup along y.
    pub max_workgroup_y: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Storage buffers of one kernel.
    pub max_storage_buffers: u32,
    /// Texels of a texture along each side.
    pub max_texture_side: u32,
    /// The subgroup size, if subgroup operations are enabled and the device has only one size.
    pub subgroup_size: Option<u32>,
    /// Whether shaders may use 64-bit integers.
    pub int64: bool,
    /// Whether shaders may use half precision.
    pub f16: bool,
    /// Whether subgroups can multiply 8 x 8 matrices of f16 and accumulate in f32.
    pub matrices_of_8: bool,
    /// The same for 16 x 16 matrices.
    pub matrices_of_16: bool,
    /// The kind of device.
    pub kind: DeviceKind,
    /// What is known of its compute units.
    pub chip: Chip,
    /// If a watchdog may end long work, the FLOP/s that the device is assumed to compute: runs are
    /// then planned and submitted in short parts.
    pub watched_rate: Option<u64>,
    /// The names of kernels that the driver does not compile. No step uses them.
    pub refused: &'static [String],
}

/// Kinds of devices, which need different tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A driver that computes on the CPU: few lanes, loads that cost more than arithmetic, no
    /// on-chip memory.
    Software,
    /// A GPU that shares the CPU's memory: a few thousand invocations fill it.
    Integrated,
    /// A GPU with its own memory, or an unknown GPU: tens of thousands of invocations fill it.
    Discrete,
}

impl Capabilities {
    /// The maximum size of a binding in bytes, even if a device allows more: shaders index with 32
    /// bits, and drivers convert indices to byte offsets.
    pub const MAX_BINDING_BYTES: u64 = 1 << 31;

    /// The core limits of WebGPU (W3C, "WebGPU", section 3.6.2), on a GPU.
    pub const CORE: Self = Self {
        max_binding_bytes: 128 << 20,
        max_workgroups: 65_535,
        max_invocations: 256,
        max_workgroup_x: 256,
        max_workgroup_y: 256,
        max_workgroup_bytes: 16 << 10,
        max_storage_buffers: 8,
        max_texture_side: 8192,
        subgroup_size: None,
        int64: false,
        f16: false,
        matrices_of_8: false,
        matrices_of_16: false,
        kind: DeviceKind::Discrete,
        chip: Chip::UNKNOWN,
        watched_rate: None,
        refused: &[],
    };
}
