//! The kernels that ceilings are measured with: their texts and `Params`.

use crate::error::{GpuError, Result};
use crate::kernel::host_struct;
use crate::shader::{AssembleError, Values, assemble};

/// Invocations of a workgroup of `bench/fma` and `bench/copy`.
pub(super) const LANES: u32 = 64;
/// Sums of an invocation of `bench/fma` that do not wait for one another.
const CHAINS: u32 = 8;
/// Multiply-adds of a chain in a round.
const UNROLL: u32 = 16;
/// Vec4s that an invocation of `bench/copy` copies.
const EACH: u32 = 4;

/// Floating-point operations of an invocation of `bench/fma` in a round.
pub(super) const FLOPS_PER_ROUND: u64 = (2 * CHAINS * UNROLL) as u64;
/// Vec4s that a workgroup of `bench/copy` copies.
pub(super) const VEC4S_PER_GROUP: u64 = (LANES * EACH) as u64;

host_struct! {
    /// Mirrors `Params` of `shaders/bench/fma.wgsl`.
    FmaParams { invocations, rounds, multiplier, addend }
}

host_struct! {
    /// Mirrors `Params` of `shaders/bench/copy.wgsl`.
    CopyParams { vec4s, row_groups }
}

/// A kernel of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Fma { fused: bool },
    Copy,
    Empty,
    Dependent,
}

impl Kernel {
    pub const ALL: [Self; 5] =
        [Self::Fma { fused: false }, Self::Fma { fused: true }, Self::Copy, Self::Empty, Self::Dependent];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fma { fused: false } => "bench_multiply_add",
            Self::Fma { fused: true } => "bench_fma",
            Self::Copy => "bench_copy",
            Self::Empty => "bench_empty",
            Self::Dependent => "bench_dependent",
        }
    }

    pub fn text(self) -> Result<String, GpuError> {
        let file = match self {
            Self::Fma { .. } => "bench/fma",
            Self::Copy => "bench/copy",
            Self::Empty => "bench/empty",
            Self::Dependent => "bench/dependent",
        };
        let fused = u32::from(self == Self::Fma { fused: true });
        let values = [("LANES", LANES), ("CHAINS", CHAINS), ("UNROLL", UNROLL), ("EACH", EACH), ("FUSED", fused)];
        let refused = |error: AssembleError| GpuError::Shader { kernel: self.name().into(), reason: error.to_string() };
        assemble(file, &Values::from(values)).map_err(refused)
    }
}

/// Name and WGSL of every kernel that [`Ceilings::measure`](super::Ceilings::measure) uses: for tests, and to read.
///
/// # Errors
/// [`GpuError::Shader`], which would be a bug of this crate.
pub fn ceiling_kernels() -> Result<Vec<(&'static str, String)>> {
    Kernel::ALL.into_iter().map(|kernel| Ok((kernel.name(), kernel.text()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::HostStruct;
    use crate::shader::{Extensions, inspect};

    #[test]
    fn host_structs_are_laid_out_like_the_shaders() -> Result<(), String> {
        for (kernel, (members, bytes)) in [
            (Kernel::Fma { fused: false }, FmaParams::layout()),
            (Kernel::Fma { fused: true }, FmaParams::layout()),
            (Kernel::Copy, CopyParams::layout()),
        ] {
            let source = kernel.text().map_err(|error| error.to_string())?;
            let (_, reflection) = inspect(&source, Extensions::default())?;
            let wgsl: Vec<_> = reflection.members.iter().map(|m| (m.name.as_str(), m.offset as usize)).collect();
            assert_eq!((members, bytes as u32), (&wgsl[..], reflection.params_bytes), "{kernel:?}");
            assert_eq!(reflection.workgroup_size, [LANES, 1, 1]);
        }
        Ok(())
    }
}
