//! Mutants: kernels with one deliberate fault each, to prove that the self test finds such faults.
//!
//! A mutant is a patch of one or two places in the text of the shaders. A fault in a shared part is
//! listed once for each family whose tests must catch it. [`prove`] runs the cases of the self test
//! on a mutant until a check fails. `equivalent` gives the reason for a mutant that no check can
//! distinguish from the kernel.

mod conv1x1;
mod conv3x3;
mod elementwise;
mod grouped;
mod joined;
mod matrix;
mod mutant;
mod pools;
mod shared;
mod split_k;
mod train_gradients;
mod train_heads;
mod train_norms;
mod train_updates;
mod winograd;

use std::collections::BTreeSet;

use serde::Serialize;

use mutant::mutants;
pub use mutant::{Fault, Mutant};

use super::check::{Checker, Expectations, Until};
use super::{Check, Failure, cases, every_candidate, side_by_side, why_not};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernel::{DeviceKind, Kernel};

impl Mutant {
    /// The kernels that the fault changes. Kernels that probably show it soonest come first: they
    /// have the whole epilogue and the smallest tile of several rows, which compiles fastest. A row
    /// of matrices counts as several rows.
    #[must_use]
    pub fn kernels(&self) -> Vec<Kernel> {
        let mut kernels: Vec<Kernel> =
            every_candidate().filter(|kernel| self.changes(kernel)).collect();
        kernels.sort_by_key(|kernel @ Kernel { tile, epilogue, strided, .. }| {
            let parts =
                u32::from(epilogue.bias) + u32::from(epilogue.residual) + u32::from(epilogue.relu);
            (
                3 - parts,
                tile.rows_per_thread.max(kernel.matrix_side) < 2,
                tile.rows_per_thread * tile.cols_per_thread,
                *strided,
            )
        });
        kernels
    }
}

/// The outcome of a mutant.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A check failed, as expected.
    Caught(Failure),
    /// No check failed, as its entry states.
    Equivalent(&'static str),
    /// No check failed: the cases are too weak.
    Survived {
        /// Runs of a kernel on a case.
        cases: usize,
    },
    /// The entry is wrong: the mutant did not compile, or was caught although its entry states that
    /// no check can catch it.
    Mistaken(Failure),
    /// The device can run none of its kernels, or the fault need not have an effect there.
    NotRun(String),
}

impl Verdict {
    /// Whether the outcome is consistent with the proof that the self test finds faults.
    #[must_use]
    pub const fn holds(&self) -> bool {
        !matches!(self, Self::Survived { .. } | Self::Mistaken(_))
    }
}

/// Every mutant, family by family.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    let lists = [
        conv1x1::MUTANTS,
        conv3x3::MUTANTS,
        winograd::MUTANTS,
        grouped::MUTANTS,
        joined::MUTANTS,
        split_k::MUTANTS,
        matrix::MUTANTS,
        elementwise::MUTANTS,
        pools::MUTANTS,
        train_gradients::MUTANTS,
        train_norms::MUTANTS,
        train_heads::MUTANTS,
        train_updates::MUTANTS,
    ];
    lists.into_iter().flatten().copied().flatten()
}

/// The mutant with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Mutant> {
    all().find(|mutant| mutant.name == name)
}

/// Runs the self test's cases on each mutant until a check fails, on several devices of one adapter
/// in parallel. The verdicts are in the order of the mutants.
///
/// # Errors
/// As [`run_on`](super::run_on), including [`GpuError::Patch`](crate::error::GpuError::Patch).
pub fn prove(gpus: &[Gpu], mutants: &[&Mutant]) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::with_capacity(mutants.len());
    // Mutants of a family share their cases, families do not.
    for family in mutants.chunk_by(|a, b| a.family == b.family) {
        let expectations = Expectations::default();
        verdicts.extend(side_by_side::each(gpus, family, |gpu, mutant| {
            tracing::info!(mutant = mutant.name, "proving");
            prove_one(gpu, &expectations, mutant)
        })?);
    }
    Ok(verdicts)
}

fn prove_one(gpu: &Gpu, expectations: &Expectations, mutant: &Mutant) -> Result<Verdict> {
    let patched = gpu.with_patches(mutant.patches)?;
    let capabilities = gpu.capabilities();
    let (mut count, mut skipped) = (0, BTreeSet::new());
    for kernel in mutant.kernels() {
        let mut runs = false;
        for case in cases(kernel) {
            if !case.is_for(kernel, capabilities)? {
                continue;
            }
            (runs, count) = (true, count + 1);
            let failures =
                Checker::new(&patched, expectations).check(kernel, &case, Until::Failure)?;
            if let Some(failure) = failures.into_iter().next() {
                let mistaken = mutant.equivalent.is_some() || failure.check == Check::Compile;
                return Ok(if mistaken {
                    Verdict::Mistaken(failure)
                } else {
                    Verdict::Caught(failure)
                });
            }
        }
        if !runs {
            skipped.insert(why_not(kernel, capabilities));
        }
    }
    Ok(match mutant.equivalent {
        // Each of its kernels may lack a different feature.
        _ if count == 0 => Verdict::NotRun(Vec::from_iter(skipped).join(", or ")),
        Some(reason) => Verdict::Equivalent(reason),
        // A subgroup runs in lockstep, and a workgroup may be a single subgroup.
        None if mutant.fault == Fault::DroppedBarrier
            && capabilities.kind != DeviceKind::Software =>
        {
            Verdict::NotRun(
                "no check failed, but it is a race that hardware need not show".to_owned(),
            )
        }
        None => Verdict::Survived { cases: count },
    })
}
