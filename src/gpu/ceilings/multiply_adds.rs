//! Multiply-adds a second: of f32, of f16 and of matrix units.

use bytemuck::bytes_of;
use wgpu::BufferUsages;

use super::bench::{Bench, dispatch, wrong};
use super::kernels::{Fma, FmaParams, Kernel, LANES, Matrix, MatrixParams};
use crate::error::{Error, GpuError, Result};
use crate::kernel::all_candidates;

/// Workgroups of `bench/fma`: enough to fill any GPU.
const FMA_GROUPS: u32 = 4096;
/// Workgroups of `bench/matrix`, likewise: fifteen for each multiprocessor of an H100.
const MATRIX_GROUPS: u32 = 2048;

impl Bench<'_> {
    /// Operations a second of the fastest variant.
    pub fn fastest_fma(&self, half: bool) -> Result<f64> {
        Fma::forms(half)
            .into_iter()
            .try_fold(0.0f64, |most, fma| Ok(most.max(self.multiply_adds(fma)?)))
    }

    /// Operations a second of one variant.
    fn multiply_adds(&self, fma: Fma) -> Result<f64> {
        let invocations = FMA_GROUPS.min(self.gpu.capabilities().max_workgroups) * LANES;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let dst = self.gpu.buffer("sums", u64::from(invocations) * 4, usage)?;
        let params =
            self.gpu.buffer("params", 16, BufferUsages::UNIFORM | BufferUsages::COPY_DST)?;
        let bound = self.bind(Kernel::Fma(fma), &[&params, &dst])?;
        let (rounds, seconds) = self.fastest(|rounds| {
            let (multiplier, addend) = (0.5f32.to_bits(), 1f32.to_bits());
            self.write(
                &params,
                0,
                bytes_of(&FmaParams { invocations, rounds, multiplier, addend }),
            )?;
            self.time(|encoder, path| {
                dispatch(encoder, path, &bound, [invocations / LANES, 1, 1], 1)
            })
        })?;
        let sums: Vec<f32> = bytemuck::pod_collect_to_vec(&self.gpu.download(&dst)?);
        match sums.iter().find(|sum| (*sum - 2.0).abs() > 1e-3 || sum.is_nan()) {
            Some(sum) => Err(wrong("multiply-adds", format!("a sum of {sum} instead of 2"))),
            None => Ok((fma.flops_per_round() * u64::from(rounds) * u64::from(invocations)) as f64
                / seconds),
        }
    }

    /// Operations a second of matrix units, if they are used.
    pub fn matrices(&self) -> Result<Option<f64>> {
        let capabilities = self.gpu.capabilities();
        let Some(lanes) = capabilities.subgroup_size else { return Ok(None) };
        let kernels = all_candidates();
        let is_used = |side: &u32| {
            kernels
                .iter()
                .any(|kernel| kernel.matrix_side == *side && kernel.runs_on(capabilities).is_ok())
        };
        let forms = [8, 16].into_iter().filter(is_used).flat_map(|side| Matrix::forms(side, lanes));
        let mut most: Option<f64> = None;
        for matrix in forms {
            match self.matrix_multiply_adds(matrix) {
                Ok(flops) => most = Some(most.map_or(flops, |most| most.max(flops))),
                // Matrix units are experimental, so their errors do not fail the measurement.
                // Commands that use them check their results.
                Err(Error::Gpu(error @ GpuError::Wrong { .. })) => {
                    tracing::warn!("no ceiling for matrix units: {error}")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(most)
    }

    /// Operations a second of one matrix variant.
    fn matrix_multiply_adds(&self, matrix: Matrix) -> Result<f64> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let dst = self.gpu.buffer("sums", u64::from(MATRIX_GROUPS * matrix.values()) * 4, usage)?;
        let params =
            self.gpu.buffer("params", 16, BufferUsages::UNIFORM | BufferUsages::COPY_DST)?;
        let bound = self.bind(Kernel::Matrix(matrix), &[&params, &dst])?;
        let (rounds, seconds) = self.fastest(|rounds| {
            self.write(&params, 0, bytes_of(&MatrixParams { rounds, factor: 1f32.to_bits() }))?;
            self.time(|encoder, path| dispatch(encoder, path, &bound, [MATRIX_GROUPS, 1, 1], 1))
        })?;
        let (found, expected) = (
            bytemuck::pod_collect_to_vec::<_, f32>(&self.gpu.download(&dst)?),
            matrix.sums(rounds),
        );
        // All are integers, and each chain's are exact; together they may have more digits than an
        // f32.
        let is_wrong = |(found, expected): &(&f32, &f64)| {
            let off = (f64::from(**found) - **expected).abs();
            off.is_nan() || off > 1e-6 * expected.abs()
        };
        match found.iter().zip(expected.iter().cycle()).find(is_wrong) {
            Some((found, expected)) => {
                Err(wrong("multiply-adds of matrices", format!("{found} instead of {expected}")))
            }
            None => {
                let flops = matrix.flops_per_round() * u64::from(rounds) * u64::from(MATRIX_GROUPS);
                Ok(flops as f64 / seconds)
            }
        }
    }
}
