//! Extensions of WGSL.

/// Extensions that a shader may use beyond plain WGSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Subgroup operations.
    pub subgroups: bool,
    /// 64-bit integers.
    pub int64: bool,
    /// Half precision.
    pub f16: bool,
    /// The side of its cooperative matrices (wgpu's `enable wgpu_cooperative_matrix`), or 0.
    pub matrix_side: u32,
}
