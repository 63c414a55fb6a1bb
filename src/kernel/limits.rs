//! Limits of a device that a launch must not exceed: workgroups of a grid, and iterations of loops.

use super::{Capabilities, DeviceKind, Kernel};
use crate::error::GpuError;

/// Mesa's llvmpipe silently leaves a loop after 65,535 iterations (LP_MAX_TGSI_LOOP_ITERATIONS),
/// counted over all loops of an invocation. The difference is a reserve for loops not counted here.
const MOST_ITERATIONS: u64 = 65_000;

/// Returns an error for loops of one invocation that a software driver would leave early.
///
/// # Errors
/// [`GpuError::KernelLimit`].
pub(crate) fn check_iterations(
    kernel: &str,
    needs: u64,
    capabilities: &Capabilities,
) -> Result<(), GpuError> {
    if capabilities.kind != DeviceKind::Software || needs <= MOST_ITERATIONS {
        return Ok(());
    }
    let (kernel, resource, limit) = (kernel.to_owned(), "iterations of its loops", MOST_ITERATIONS);
    Err(GpuError::KernelLimit { kernel, resource, needs, limit })
}

/// Returns an error for a grid that the device cannot launch.
pub(super) fn check_grid(
    kernel: &Kernel,
    workgroups: [u64; 3],
    capabilities: &Capabilities,
) -> Result<[u32; 3], GpuError> {
    let limit = capabilities.max_workgroups;
    if workgroups.iter().any(|&count| count > u64::from(limit)) {
        return Err(GpuError::TooManyWorkgroups { kernel: kernel.name(), workgroups, limit });
    }
    Ok(workgroups.map(|count| count as u32))
}
