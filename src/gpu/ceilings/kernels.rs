//! The kernels that ceilings are measured with: their texts and `Params`.

use crate::error::{GpuError, Result};
use crate::kernel::host_struct;
use crate::shader::{AssembleError, Extensions, Values, assemble};

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
    /// Whether each sum is a pair of f16.
    half: bool,
}

impl Fma {
    /// The forms in f32, or in f16. A GPU has registers enough for any. A CPU of sixteen vector registers is fastest with ten sums,
    /// and has half the speed with twelve; a shorter pipeline wants fewer.
    pub const fn forms(half: bool) -> [Self; 4] {
        [
            Self { chains: 8, fused: false, half },
            Self { chains: 8, fused: true, half },
            Self { chains: 10, fused: false, half },
            Self { chains: 10, fused: true, half },
        ]
    }

    /// Floating-point operations of an invocation in a round.
    pub const fn flops_per_round(self) -> u64 {
        (2 * self.chains * UNROLL * if self.half { 2 } else { 1 }) as u64
    }

    const fn name(self) -> &'static str {
        match (self.half, self.fused, self.chains) {
            (false, false, 8) => "bench_multiply_add_c8",
            (false, true, 8) => "bench_fma_c8",
            (false, false, _) => "bench_multiply_add_c10",
            (false, true, _) => "bench_fma_c10",
            (true, false, 8) => "bench_f16_multiply_add_c8",
            (true, true, 8) => "bench_f16_fma_c8",
            (true, false, _) => "bench_f16_multiply_add_c10",
            (true, true, _) => "bench_f16_fma_c10",
        }
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
        let forms = [false, true].into_iter().flat_map(Fma::forms);
        forms.map(Self::Fma).chain([Self::Copy, Self::Empty, Self::Dependent])
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fma(fma) => fma.name(),
            Self::Copy => "bench_copy",
            Self::Empty => "bench_empty",
            Self::Dependent => "bench_dependent",
        }
    }

    /// What its text may use.
    pub fn extensions(self) -> Extensions {
        Extensions { f16: matches!(self, Self::Fma(Fma { half: true, .. })), ..Extensions::default() }
    }

    pub fn text(self) -> Result<String, GpuError> {
        let values = match self {
            Self::Fma(Fma { chains, fused, half }) => {
                vec![("CHAINS", chains), ("UNROLL", UNROLL), ("FUSED", fused.into()), ("HALF", half.into())]
            }
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

/// Name, WGSL and extensions of every kernel that [`Ceilings::measure`](super::Ceilings::measure) uses: for tests, and to read.
///
/// # Errors
/// [`GpuError::Shader`], which would be a bug of this crate.
pub fn ceiling_kernels() -> Result<Vec<(&'static str, String, Extensions)>> {
    Kernel::all().map(|kernel| Ok((kernel.name(), kernel.text()?, kernel.extensions()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::HostStruct;
    use crate::shader::inspect;

    #[test]
    fn host_structs_are_laid_out_like_the_shaders() -> Result<(), String> {
        let forms = [false, true].into_iter().flat_map(Fma::forms);
        let fma = forms.map(|fma| (Kernel::Fma(fma), FmaParams::layout()));
        for (kernel, (members, bytes)) in fma.chain([(Kernel::Copy, CopyParams::layout())]) {
            let source = kernel.text().map_err(|error| error.to_string())?;
            let (_, reflection) = inspect(&source, kernel.extensions())?;
            let wgsl: Vec<_> = reflection.members.iter().map(|m| (m.name.as_str(), m.offset as usize)).collect();
            assert_eq!((members, bytes as u32), (&wgsl[..], reflection.params_bytes), "{kernel:?}");
            assert_eq!(reflection.workgroup_size, [LANES, 1, 1]);
        }
        Ok(())
    }
}
