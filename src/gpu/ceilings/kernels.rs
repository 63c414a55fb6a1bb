//! The kernels that ceilings are measured with: their texts and `Params`.

use crate::error::{GpuError, Result};
use crate::kernel::host_struct;
use crate::shader::{AssembleError, Values, assemble};

/// Invocations of a workgroup of `bench/fma` and `bench/copy`.
pub(super) const LANES: u32 = 64;
/// Multiply-adds of a chain of `bench/fma` in a round.
const UNROLL: u32 = 16;
/// Vec4s that an invocation of `bench/copy` copies.
const EACH: u32 = 4;

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

/// A form of `bench/fma`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fma {
    /// Sums of an invocation that do not wait for one another.
    chains: u32,
    /// Whether it asks for one instruction.
    fused: bool,
}

impl Fma {
    /// A GPU has registers enough for any. A CPU of sixteen vector registers is fastest with ten sums, and has half the speed
    /// with twelve; a shorter pipeline wants fewer.
    pub const ALL: [Self; 4] = [
        Self { chains: 8, fused: false },
        Self { chains: 8, fused: true },
        Self { chains: 10, fused: false },
        Self { chains: 10, fused: true },
    ];

    /// Floating-point operations of an invocation in a round.
    pub const fn flops_per_round(self) -> u64 {
        (2 * self.chains * UNROLL) as u64
    }
}

/// A kernel of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Fma(Fma),
    Copy,
    Empty,
    Dependent,
}

impl Kernel {
    pub fn all() -> impl Iterator<Item = Self> {
        Fma::ALL.into_iter().map(Self::Fma).chain([Self::Copy, Self::Empty, Self::Dependent])
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fma(Fma { chains: 8, fused: false }) => "bench_multiply_add_c8",
            Self::Fma(Fma { chains: 8, fused: true }) => "bench_fma_c8",
            Self::Fma(Fma { fused: false, .. }) => "bench_multiply_add_c10",
            Self::Fma(Fma { fused: true, .. }) => "bench_fma_c10",
            Self::Copy => "bench_copy",
            Self::Empty => "bench_empty",
            Self::Dependent => "bench_dependent",
        }
    }

    pub fn text(self) -> Result<String, GpuError> {
        let values = match self {
            Self::Fma(Fma { chains, fused }) => vec![("CHAINS", chains), ("UNROLL", UNROLL), ("FUSED", fused.into())],
            Self::Copy => vec![("EACH", EACH)],
            Self::Empty | Self::Dependent => Vec::new(),
        };
        let file = match self {
            Self::Fma(_) => "bench/fma",
            Self::Copy => "bench/copy",
            Self::Empty => "bench/empty",
            Self::Dependent => "bench/dependent",
        };
        let refused = |error: AssembleError| GpuError::Shader { kernel: self.name().into(), reason: error.to_string() };
        assemble(file, &values.into_iter().chain([("LANES", LANES)]).collect::<Values>()).map_err(refused)
    }
}

/// Name and WGSL of every kernel that [`Ceilings::measure`](super::Ceilings::measure) uses: for tests, and to read.
///
/// # Errors
/// [`GpuError::Shader`], which would be a bug of this crate.
pub fn ceiling_kernels() -> Result<Vec<(&'static str, String)>> {
    Kernel::all().map(|kernel| Ok((kernel.name(), kernel.text()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::HostStruct;
    use crate::shader::{Extensions, inspect};

    #[test]
    fn host_structs_are_laid_out_like_the_shaders() -> Result<(), String> {
        let fma = Fma::ALL.map(|fma| (Kernel::Fma(fma), FmaParams::layout()));
        for (kernel, (members, bytes)) in fma.into_iter().chain([(Kernel::Copy, CopyParams::layout())]) {
            let source = kernel.text().map_err(|error| error.to_string())?;
            let (_, reflection) = inspect(&source, Extensions::default())?;
            let wgsl: Vec<_> = reflection.members.iter().map(|m| (m.name.as_str(), m.offset as usize)).collect();
            assert_eq!((members, bytes as u32), (&wgsl[..], reflection.params_bytes), "{kernel:?}");
            assert_eq!(reflection.workgroup_size, [LANES, 1, 1]);
        }
        Ok(())
    }
}
