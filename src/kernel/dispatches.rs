//! Kernels with several dispatches: the kernels launched, and the scratch between them.

use super::planes::plane;
use super::tile::ELEMENTWISE_TILE;
use super::{Access, Family, Kernel, Problem, train};
use crate::op::Epilogue;
use crate::tensor::DType;

impl Kernel {
    /// The kernels that are launched for it, in order: the kernel itself; for a Winograd GEMM
    /// batch, a transform before and one after it, and the transform of the weights before them if
    /// they change; for slices of K, their sum after it. The last one has the epilogue. Each
    /// uses the step's [`Problem`].
    #[must_use]
    pub fn dispatches(&self) -> Vec<Self> {
        let plain = Self { epilogue: Epilogue::default(), ..*self };
        let auxiliary = |family| Self {
            family,
            tile: ELEMENTWISE_TILE,
            strided: false,
            transforms_weights_each_run: false,
            matrix_side: 0,
            ..plain
        };
        let last = |family| Self { epilogue: self.epilogue, ..auxiliary(family) };
        if self.family.is_winograd() {
            let weights =
                self.transforms_weights_each_run.then(|| auxiliary(Family::WinogradWeights));
            let others = [auxiliary(Family::WinogradInput), plain, last(Family::WinogradOutput)];
            weights.into_iter().chain(others).collect()
        } else if self.is_split() {
            vec![plain, last(Family::SplitKSum)]
        } else {
            match self.family {
                Family::NormStats if self.tile != ELEMENTWISE_TILE => {
                    vec![
                        Self { family: Family::NormPartials, ..plain },
                        auxiliary(Family::NormStats),
                    ]
                }
                Family::NormGradSums if self.tile != ELEMENTWISE_TILE => {
                    vec![
                        Self { family: Family::NormGradPartials, ..*self },
                        auxiliary(Family::NormGradSums),
                    ]
                }
                Family::WeightGrad | Family::WeightGradSubgroup => {
                    vec![
                        *self,
                        Self { access: Access::Vectors, ..auxiliary(Family::WeightGradSum) },
                    ]
                }
                _ => vec![*self],
            }
        }
    }

    /// The epilogue in its own source: empty if a later dispatch has the step's epilogue.
    pub(super) fn own_epilogue(&self) -> Epilogue {
        if self.writes_planes() { Epilogue::default() } else { self.epilogue }
    }

    /// Whether it writes planes of sums, from which another dispatch computes the output.
    pub(super) fn writes_planes(&self) -> bool {
        self.family.is_winograd() || self.is_split()
    }

    /// The sizes in bytes of the scratch between its dispatches: the transformed input, the
    /// products, and the transformed weights if they are computed in every run, for Winograd; the
    /// sums of each slice of K.
    #[must_use]
    pub fn scratch_bytes(&self, problem: &Problem) -> Vec<usize> {
        if self.family.is_training() {
            return train::scratch_bytes(problem);
        }
        let planes = |count: usize, rows: usize, layout| {
            plane(rows, layout).saturating_mul(count * 4 * DType::F32.bytes())
        };
        let (gemms, rows) = self.gemm_batch(problem);
        match self.winograd {
            Some(_) => {
                let weights = self
                    .transforms_weights_each_run
                    .then(|| self.packed_values(problem).saturating_mul(DType::F32.bytes()));
                let items = [problem.inputs[0].1, problem.output.1]
                    .map(|layout| planes(gemms, rows, layout));
                items.into_iter().chain(weights).collect()
            }
            None if self.is_split() => vec![planes(gemms, rows, problem.output.1)],
            None => Vec::new(),
        }
    }
}
