//! The kernels for measuring ceilings: their sources and `Params`.

use crate::error::{GpuError, Result};
use crate::kernel::host_struct;
use crate::shader::{AssembleError, Extensions, Values, assemble};

/// Invocations of a workgroup of `bench/fma` and `bench/copy`.
pub(super) const LANES: u32 = 64;
/// Multiply-adds per chain and round of `bench/fma`.
const UNROLL: u32 = 16;
/// Multiply-adds per chain and round of `bench/matrix`.
const MATRIX_UNROLL: u32 = 4;
/// Subgroups of a workgroup of `bench/matrix`.
const SUBGROUPS: u32 = 4;
/// Vec4s that each invocation of `bench/copy` copies.
const EACH: u32 = 4;

/// Vec4s that each workgroup of `bench/copy` copies.
pub(super) const VEC4S_PER_GROUP: u64 = (LANES * EACH) as u64;

host_struct! {
    /// Mirrors `Params` of `shaders/bench/fma.wgsl`.
    FmaParams { invocations, rounds, multiplier, addend }
}

host_struct! {
    /// Mirrors `Params` of `shaders/bench/matrix.wgsl`.
    MatrixParams { rounds, factor }
}

host_struct! {
    /// Mirrors `Params` of `shaders/bench/copy.wgsl`.
    CopyParams { vec4s, row_groups }
}

/// A variant of `bench/fma`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fma {
    /// Independent sums per invocation.
    chains: u32,
    /// Whether it uses the `fma` builtin.
    fused: bool,
    /// Whether each sum is a pair of f16.
    half: bool,
}

impl Fma {
    /// The variants in f32, or in f16. A GPU has enough registers for any. A CPU with sixteen
    /// vector registers is fastest with ten sums, and half as fast with twelve; a shorter pipeline
    /// needs fewer.
    pub const fn forms(half: bool) -> [Self; 4] {
        [
            Self { chains: 8, fused: false, half },
            Self { chains: 8, fused: true, half },
            Self { chains: 10, fused: false, half },
            Self { chains: 10, fused: true, half },
        ]
    }

    /// Floating-point operations per invocation and round.
    pub const fn flops_per_round(self) -> u64 {
        (2 * self.chains * UNROLL * if self.half { 2 } else { 1 }) as u64
    }

    fn name(self) -> String {
        let (half, form) =
            (if self.half { "f16_" } else { "" }, if self.fused { "fma" } else { "multiply_add" });
        format!("bench_{half}{form}_c{}", self.chains)
    }
}

/// A variant of `bench/matrix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Matrix {
    /// Rows and columns of a matrix.
    side: u32,
    /// Lanes of a subgroup.
    lanes: u32,
    /// Independent sums per subgroup.
    chains: u32,
}

impl Matrix {
    /// The variants with matrices of one size. Four sums cover the pipeline depth of the GPUs;
    /// eight cover a deeper one, if registers allow.
    pub const fn forms(side: u32, lanes: u32) -> [Self; 2] {
        [Self { side, lanes, chains: 4 }, Self { side, lanes, chains: 8 }]
    }

    /// Floating-point operations per workgroup and round.
    pub const fn flops_per_round(self) -> u64 {
        (2 * self.side * self.side * self.side * self.chains * MATRIX_UNROLL * SUBGROUPS) as u64
    }

    /// Numbers that a workgroup writes: one matrix per subgroup.
    pub const fn values(self) -> u32 {
        self.side * self.side * SUBGROUPS
    }

    /// The exact value of each number of a subgroup after this many rounds: the sum of its chains.
    pub fn sums(self, rounds: u32) -> Vec<f64> {
        let side = self.side as usize;
        let factor = |at: usize| (at % 3) as f64 - 1.0;
        let product = |row: usize, column: usize| -> f64 {
            (0..side).map(|k| factor(row * side + k) * factor(k * side + column)).sum()
        };
        let multiply_adds = f64::from(rounds) * f64::from(MATRIX_UNROLL);
        let sum = |at: usize| -> f64 {
            let of_chain = |chain: u32| {
                (at as f64 + f64::from(4 * chain)) + multiply_adds * product(at / side, at % side)
            };
            (0..self.chains).map(of_chain).sum()
        };
        (0..side * side).map(sum).collect()
    }
}

/// A kernel of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Fma(Fma),
    Matrix(Matrix),
    Copy,
    Empty,
    Dependent,
}

impl Kernel {
    /// All kernels; those for matrices with the subgroup sizes of the plans' kernels.
    pub fn all() -> impl Iterator<Item = Self> {
        let multiply_adds = [false, true].into_iter().flat_map(Fma::forms).map(Self::Fma);
        let matrices = [(8, 8), (8, 32), (16, 8), (16, 32)]
            .into_iter()
            .flat_map(|(side, lanes)| Matrix::forms(side, lanes));
        multiply_adds.chain(matrices.map(Self::Matrix)).chain([
            Self::Copy,
            Self::Empty,
            Self::Dependent,
        ])
    }

    pub fn name(self) -> String {
        match self {
            Self::Fma(fma) => fma.name(),
            Self::Matrix(Matrix { side, lanes, chains }) => {
                format!("bench_matrix_l{lanes}_m{side}_c{chains}")
            }
            Self::Copy => "bench_copy".to_owned(),
            Self::Empty => "bench_empty".to_owned(),
            Self::Dependent => "bench_dependent".to_owned(),
        }
    }

    /// Lanes of a subgroup for `bench/matrix`, invocations of a workgroup for the others.
    const fn lanes(self) -> u32 {
        match self {
            Self::Matrix(Matrix { lanes, .. }) => lanes,
            _ => LANES,
        }
    }

    /// The extensions that its source may use.
    pub fn extensions(self) -> Extensions {
        match self {
            Self::Fma(Fma { half, .. }) => Extensions { f16: half, ..Extensions::default() },
            Self::Matrix(Matrix { side, .. }) => Extensions {
                subgroups: true,
                f16: true,
                matrix_side: side,
                ..Extensions::default()
            },
            Self::Copy | Self::Empty | Self::Dependent => Extensions::default(),
        }
    }

    pub fn text(self) -> Result<String, GpuError> {
        let (file, values) = match self {
            Self::Fma(Fma { chains, fused, half }) => (
                "bench/fma",
                vec![
                    ("CHAINS", chains),
                    ("UNROLL", UNROLL),
                    ("FUSED", fused.into()),
                    ("HALF", half.into()),
                ],
            ),
            Self::Matrix(Matrix { side, chains, .. }) => (
                "bench/matrix",
                vec![
                    ("CHAINS", chains),
                    ("UNROLL", MATRIX_UNROLL),
                    ("SIDE_OF_MATRIX", side),
                    ("SUBGROUPS", SUBGROUPS),
                ],
            ),
            Self::Copy => ("bench/copy", vec![("EACH", EACH)]),
            Self::Empty => ("bench/empty", Vec::new()),
            Self::Dependent => ("bench/dependent", Vec::new()),
        };
        let refused = |error: AssembleError| GpuError::Shader {
            kernel: self.name(),
            reason: error.to_string(),
        };
        assemble(file, &values.into_iter().chain([("LANES", self.lanes())]).collect::<Values>())
            .map_err(refused)
    }
}

/// Name, WGSL and extensions of every kernel that [`Ceilings::measure`](super::Ceilings::measure)
/// uses: for tests and inspection.
///
/// # Errors
/// [`GpuError::Shader`], which would be a bug in this crate.
pub fn ceiling_kernels() -> Result<Vec<(String, String, Extensions)>> {
    Kernel::all().map(|kernel| Ok((kernel.name(), kernel.text()?, kernel.extensions()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::HostStruct;
    use crate::shader::inspect;

    #[test]
    fn host_structs_are_laid_out_like_the_shaders() -> Result<(), String> {
        for kernel in Kernel::all() {
            let (members, bytes) = match kernel {
                Kernel::Fma(_) => FmaParams::layout(),
                Kernel::Matrix(_) => MatrixParams::layout(),
                Kernel::Copy => CopyParams::layout(),
                Kernel::Empty | Kernel::Dependent => continue,
            };
            let source = kernel.text().map_err(|error| error.to_string())?;
            let (_, reflection) = inspect(&source, kernel.extensions())?;
            let wgsl: Vec<_> =
                reflection.members.iter().map(|m| (m.name.as_str(), m.offset as usize)).collect();
            assert_eq!((members, bytes as u32), (&wgsl[..], reflection.params_bytes), "{kernel:?}");
            let subgroups = if matches!(kernel, Kernel::Matrix(_)) { SUBGROUPS } else { 1 };
            assert_eq!(reflection.workgroup_size, [kernel.lanes() * subgroups, 1, 1]);
        }
        Ok(())
    }

    #[test]
    fn sums_of_matrices_are_those_of_the_text() {
        // Of the first row of 8 x 8, at 0, 1, 2, ...: -1 0 1 -1 0 1 -1 0; of the first column, at
        // 0, 8, 16, ...: -1 1 0 -1 1 0 -1 1.
        let [matrix, _] = Matrix::forms(8, 32);
        let product = 1.0 + 1.0 + 1.0;
        assert_eq!(matrix.sums(0)[..2], [24.0, 28.0]);
        assert_eq!(matrix.sums(3)[0], 24.0 + 4.0 * 12.0 * product);
    }
}
