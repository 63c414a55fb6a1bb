//! What a device can do, as far as the choice of kernels depends on it.

/// Limits and character of a device. Plain data: a choice can be tested without the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Bytes of the largest storage binding.
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
    /// The size of every subgroup, where subgroup operations are on and there is but one size.
    pub subgroup_size: Option<u32>,
    /// Whether shaders may use 64-bit integers.
    pub int64: bool,
    /// Whether the device is a software driver on the CPU.
    pub software: bool,
}

impl Capabilities {
    /// The core limits of WebGPU (W3C, "WebGPU", section 3.6.2), on a hardware device.
    pub const CORE: Self = Self {
        max_binding_bytes: 128 << 20,
        max_workgroups: 65_535,
        max_invocations: 256,
        max_workgroup_x: 256,
        max_workgroup_y: 256,
        max_workgroup_bytes: 16 << 10,
        max_storage_buffers: 8,
        subgroup_size: None,
        int64: false,
        software: false,
    };
}
