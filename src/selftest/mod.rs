//! The self test: checks whether this device and its driver compute correctly.
//!
//! ```text
//! every kernel that the device can run
//!   x every case that its tile requires (cases/): integers, for which f32 is exact in any order of
//!     summation (values.rs)
//!   x every check (check.rs): starting from NaN in every tensor, the output is bit-identical to
//!     the reference, or nearly so for roots, divisions, exponentials (tolerance.rs); guard bands
//!     and inputs unchanged; a second run the same; NaN and infinities where the reference has
//!     them (nan_propagation.rs); zeros in the channel padding
//! = a Report with the device, the driver, and the failures
//! ```
//!
//! Each kernel runs alone, on inputs that the host provides, so that a failure is due to that
//! kernel. The specialisations are those that a plan can contain, for inference or for training;
//! any other can be tested by name. Known driver bugs are listed only in [`KNOWN_BUGS`].
//!
//! [`mutants`], kernels with one deliberate fault each, prove that the self test finds faults.

mod case;
mod cases;
mod check;
mod known;
pub mod mutants;
mod nan_propagation;
mod report;
mod seeded;
mod side_by_side;
mod tolerance;
mod values;

use std::time::Instant;

pub use case::{Case, Layout, layouts};
pub use cases::{cases, is_in_plans};
pub use known::{KNOWN_BUGS, KnownBug};
pub use report::{Check, Device, Failure, First, KnownFailure, Report, Skipped};
pub use seeded::{Seeded, exact_params, integer_weights, small_integers, with_non_finite};
pub use values::Values;

use crate::error::{GpuError, Result};
use crate::gpu::Gpu;
use crate::kernel::{Capabilities, Family, Kernel, all_candidates, training_candidates};
use check::{Checker, Expectations, Until};
use known::Tested;
use mutants::Mutant;

/// The kernels to test.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only kernels whose name contains this, including those that no plan contains; otherwise
    /// every kernel that a plan can contain.
    pub kernel: Option<String>,
    /// A deliberate fault to load; only kernels of its family that it changes are then tested.
    pub mutant: Option<&'static Mutant>,
}

/// Tests a device.
///
/// # Errors
/// [`GpuError::NoSuchKernel`] if no kernel that the device can run matches the name;
/// [`GpuError::Patch`] if the mutant's patches do not fit the shaders; [`GpuError::Lost`],
/// [`GpuError::OutOfMemory`]. All other faults of the device are in the report.
pub fn run(gpu: &Gpu, options: &Options) -> Result<Report> {
    run_on(std::slice::from_ref(gpu), options)
}

/// [`run`] on several devices of one adapter in parallel. Each device takes the next untested
/// kernel. Mesa's software drivers compile kernels on one thread per device.
///
/// # Errors
/// As [`run`]; [`GpuError::NoAdapter`] if there is no device.
pub fn run_on(gpus: &[Gpu], options: &Options) -> Result<Report> {
    let started = Instant::now();
    let gpus = match options.mutant {
        Some(mutant) => {
            &gpus.iter().map(|gpu| gpu.with_patches(mutant.patches)).collect::<Result<Vec<_>>>()?
        }
        None => gpus,
    };
    let gpu = side_by_side::first(gpus)?;
    let (mut kernels, mut skipped, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tested, mut checks) = (Vec::new(), 0);
    // Families share no cases.
    for family in chosen(options).chunk_by(|a, b| a.family == b.family) {
        let expectations = Expectations::default();
        let of_kernels = side_by_side::each(gpus, family, |gpu, &kernel| {
            check_kernel(gpu, &expectations, kernel)
        })?;
        for (kernel, of_kernel) in family.iter().zip(of_kernels) {
            checks += of_kernel.checks;
            tested.extend(of_kernel.tested);
            match of_kernel.failures {
                Some(failures) => {
                    kernels.push(kernel.name());
                    all.extend(failures);
                }
                None => {
                    skipped.push(Skipped {
                        kernel: kernel.name(),
                        reason: why_not(*kernel, gpu.capabilities()),
                    });
                }
            }
        }
    }
    if kernels.is_empty() {
        return Err(nothing_to_test(options, &skipped).into());
    }
    let device = Device::of(gpu);
    let known::Sorted { failures, known, no_longer_seen } =
        known::sort(KNOWN_BUGS, &device, &tested, all);
    let (version, mutant) = (env!("CARGO_PKG_VERSION"), options.mutant.map(|mutant| mutant.name));
    let (cases, seconds) = (tested.len(), started.elapsed().as_secs_f64());
    Ok(Report {
        version,
        device,
        mutant,
        kernels,
        skipped,
        cases,
        checks,
        failures,
        known,
        no_longer_seen,
        seconds,
    })
}

/// The tests of one kernel.
struct KernelTests {
    /// `None` if the device cannot run it on any case.
    failures: Option<Vec<Failure>>,
    tested: Vec<Tested>,
    checks: usize,
}

/// Tests a kernel on every case that the device can run it on.
fn check_kernel(gpu: &Gpu, expectations: &Expectations, kernel: Kernel) -> Result<KernelTests> {
    let mut checker = Checker::new(gpu, expectations);
    let (mut failures, mut tested) = (None, Vec::new());
    for case in cases(kernel) {
        if !case.is_for(kernel, gpu.capabilities())? {
            continue;
        }
        tested.push((kernel.family, case.name));
        let found = checker.check(kernel, &case, Until::Done)?;
        // What does not compile for one case compiles for none.
        let hopeless = found.iter().any(|failure| failure.check == Check::Compile);
        failures.get_or_insert_with(Vec::new).extend(found);
        if hopeless {
            break;
        }
    }
    tracing::info!(kernel = kernel.name(), failures = failures.as_ref().map(Vec::len), "tested");
    Ok(KernelTests { failures, tested, checks: checker.checks })
}

/// The requested kernels, whether or not the device can run them, by family.
fn chosen(options: &Options) -> Vec<Kernel> {
    let wanted = |kernel: &Kernel| match &options.kernel {
        Some(name) => kernel.name().contains(name),
        None => is_in_plans(kernel),
    };
    let Some(mutant) = options.mutant else { return every_candidate().filter(wanted).collect() };
    let changed = mutant.kernels();
    let found: Vec<Kernel> = changed.iter().copied().filter(wanted).collect();
    // A fault in what no plan holds shows nowhere else.
    if found.is_empty() && options.kernel.is_none() { changed } else { found }
}

/// Every kernel that can be a candidate for a step, for inference or training.
fn every_candidate() -> impl Iterator<Item = Kernel> {
    all_candidates().into_iter().chain(training_candidates())
}

/// The reason why a device cannot run a kernel.
fn why_not(kernel: Kernel, capabilities: &Capabilities) -> String {
    let lanes = kernel.tile.workgroup_x;
    if kernel.family.uses_subgroups() && capabilities.subgroup_size != Some(lanes) {
        return match capabilities.subgroup_size {
            Some(size) => format!("needs subgroups of {lanes} lanes; here they have {size}"),
            None => {
                format!("needs subgroups of {lanes} lanes; here they are off or of several sizes")
            }
        };
    }
    match kernel.runs_on(capabilities) {
        Err(why) => format!("cannot run here: {why}"),
        Ok(()) => "is not a candidate for any case".to_owned(),
    }
}

/// The error if no kernel matches the name, or none of them runs here.
fn nothing_to_test(options: &Options, skipped: &[Skipped]) -> GpuError {
    let kernel = options.kernel.clone().unwrap_or_else(|| "at all".to_owned());
    let step = match skipped.first() {
        Some(Skipped { kernel, reason }) => format!("this device ({kernel} {reason})"),
        None => "the self test".to_owned(),
    };
    GpuError::NoSuchKernel {
        kernel,
        step,
        candidates: Family::ALL.iter().map(|f| f.name().to_owned()).collect(),
    }
}
