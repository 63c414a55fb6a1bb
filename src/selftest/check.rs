//! The checks: one kernel on one case.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::case::{Case, Expected};
use super::nan_propagation::NanPropagation;
use super::report::{Check, Failure, First};
use crate::error::{Error, GpuError, Result};
use crate::gpu::{Executor, ExecutorOptions, Gpu, Probe};
use crate::kernel::Kernel;
use crate::plan::TensorId;
use crate::tensor::{Comparison, HostTensor};

/// Guard bytes after each tensor, inside its binding.
const GUARD: ExecutorOptions = ExecutorOptions { guard_bytes: 256 };

/// When to stop testing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// After all checks of the case.
    Done,
    /// After the first failure.
    Failure,
}

/// Runs cases on a device. Caches the reference's results, since kernels share cases.
pub(super) struct Checker<'g> {
    gpu: &'g Gpu,
    expected: &'g Expectations,
    /// Checks made so far.
    pub checks: usize,
}

/// The reference's results by case, shared by devices that are tested in parallel.
#[derive(Debug, Default)]
pub(super) struct Expectations(Mutex<HashMap<Case, Arc<Expected>>>);

impl Expectations {
    fn of(&self, case: &Case) -> Result<Arc<Expected>> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expected) = known().get(case) {
            return Ok(expected.clone());
        }
        // Computed without the lock: two threads may compute one case, with one result.
        let expected = Arc::new(case.expected()?);
        known().insert(case.clone(), expected.clone());
        Ok(expected)
    }
}

impl<'g> Checker<'g> {
    pub fn new(gpu: &'g Gpu, expected: &'g Expectations) -> Self {
        Self { gpu, expected, checks: 0 }
    }

    /// Runs every check of a kernel on a case that it supports. Wrong values, memory errors and
    /// compilation errors are failures.
    ///
    /// # Errors
    /// A device that is lost or out of memory, after which it cannot be tested further.
    pub fn check(&mut self, kernel: Kernel, case: &Case, until: Until) -> Result<Vec<Failure>> {
        let expected = self.expected.of(case)?;
        let mut findings = Findings { kernel, case: case.name, failures: Vec::new(), checks: 0 };
        let outcome = self.look(case, &expected, &mut findings, until);
        self.checks += findings.checks;
        outcome?;
        Ok(findings.failures)
    }

    fn look(
        &self,
        case: &Case,
        expected: &Expected,
        findings: &mut Findings,
        until: Until,
    ) -> Result<()> {
        let Some(mut executor) = self.compile(case, expected, findings)? else { return Ok(()) };
        let [numbers, special] = &expected.runs;
        let kernel = findings.kernel;
        let enough = |findings: &Findings| until == Until::Failure && !findings.failures.is_empty();
        let Some(first) = run(&mut executor, &numbers.reads, findings)? else { return Ok(()) };
        let exact =
            case.compare(kernel, &numbers.reads, [&numbers.output, &first.output], |_| false);
        findings.values(Check::Exact, exact);
        findings.memory(&first);
        if enough(findings) {
            return Ok(());
        }
        let Some(second) = run(&mut executor, &numbers.reads, findings)? else { return Ok(()) };
        findings.repeat(&first.output, &second.output);
        if enough(findings) {
            return Ok(());
        }
        let Some(third) = run(&mut executor, &special.reads, findings)? else { return Ok(()) };
        let propagation = NanPropagation::of(case, kernel, &special.reads);
        let outputs = [&special.output, &third.output];
        findings.values(
            Check::NonFinite,
            case.compare(kernel, &special.reads, outputs, |at| propagation.covers(at)),
        );
        findings.memory(&third);
        Ok(())
    }

    /// Compiles the kernel for the case's shapes; `None` if that fails.
    fn compile(
        &self,
        case: &Case,
        expected: &Expected,
        findings: &mut Findings,
    ) -> Result<Option<Executor>> {
        findings.checks += 1;
        let recording = case.record(findings.kernel, self.gpu.capabilities())?;
        let params = std::slice::from_ref(&expected.params);
        recording.check(&case.capabilities(self.gpu.capabilities()))?;
        // SAFETY: the recording was just checked, for the device's capabilities with a smaller
        // limit of workgroups per dimension. The check does not cover patched kernels; these are
        // compiled with runtime checks.
        match unsafe { Executor::new_unchecked(self.gpu, recording, params, GUARD) } {
            Ok(executor) => Ok(Some(executor)),
            Err(Error::Gpu(
                error @ (GpuError::Shader { .. }
                | GpuError::KernelLimit { .. }
                | GpuError::Device { .. }),
            )) => {
                // If the device is lost, this is not a finding about the kernel.
                self.gpu.wait()?;
                findings.fail(Check::Compile, error.to_string(), None);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Performs one run; `None` if the device reported an error.
fn run(
    executor: &mut Executor,
    inputs: &[HostTensor],
    findings: &mut Findings,
) -> Result<Option<Probe>> {
    findings.checks += 1;
    let variables: Vec<(TensorId, &HostTensor)> = (0..).map(TensorId).zip(inputs).collect();
    match executor.probe(&variables) {
        Ok(probe) => Ok(Some(probe)),
        Err(Error::Gpu(error @ GpuError::Device { .. })) => {
            executor.gpu().wait()?;
            findings.fail(Check::Run, error.to_string(), None);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The findings for a kernel on a case.
struct Findings {
    kernel: Kernel,
    case: &'static str,
    failures: Vec<Failure>,
    checks: usize,
}

impl Findings {
    fn fail(&mut self, check: Check, what: String, first: Option<First>) {
        let (kernel, family) = (self.kernel.name(), self.kernel.family);
        self.failures.push(Failure { kernel, family, case: self.case, check, what, first });
    }

    fn values(&mut self, check: Check, comparison: Comparison) {
        self.checks += 1;
        if let Some(mismatch) = comparison.mismatch {
            let first = First::new(mismatch.at, mismatch.expected, mismatch.found);
            self.fail(check, comparison.to_string(), Some(first));
        }
    }

    /// Checks guard bands, inputs and channel padding.
    fn memory(&mut self, probe: &Probe) {
        self.checks += 3;
        if !probe.broken_guards.is_empty() {
            self.fail(
                Check::Guard,
                format!("written beyond the end of {}", probe.broken_guards.join(", ")),
                None,
            );
        }
        if !probe.changed.is_empty() {
            self.fail(Check::Input, format!("changed {}", probe.changed.join(", ")), None);
        }
        if let Some(value) = probe.padding {
            self.fail(
                Check::Padding,
                format!("a padding channel of the output holds {value}, not 0"),
                None,
            );
        }
    }

    fn repeat(&mut self, first: &HostTensor, second: &HostTensor) {
        self.checks += 1;
        let differs = |(_, (a, b)): &(usize, (&f32, &f32))| a.to_bits() != b.to_bits();
        let found = first.data().iter().zip(second.data()).enumerate().find(differs);
        if let Some((at, (a, b))) = found {
            let first = First::new(first.shape().position(at), *a, *b);
            self.fail(
                Check::Repeat,
                format!("a second run gave {b} where the first gave {a}"),
                Some(first),
            );
        }
    }
}
