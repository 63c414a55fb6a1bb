//! The self test: whether this device and its driver compute right.
//!
//! ```text
//! every kernel that the device can run
//!   x every case that its tile calls for (cases/): integers, for which f32 is exact in any order of summation (values.rs)
//!   x every check (check.rs): from NaN in every tensor, the reference's bits, or nearly so where there are roots, divisions and
//!     exponentials (near.rs); guard bands and inputs untouched; a second run the same; NaN and infinities where the reference
//!     has them (spread.rs); zeros in the channel padding
//! = a Report, which names the device, the driver, and what failed
//! ```
//!
//! Each kernel runs alone, on inputs that the host gives it, so that a failure is that kernel's. The specialisations are
//! those that a plan can hold, of inference or of training; by name any other can be tested too. What is known to be wrong on a driver stands
//! in [`KNOWN_BUGS`] and nowhere else.
//!
//! That the self test finds faults is proved with [`mutants`]: kernels with one deliberate fault each.

mod case;
mod cases;
mod check;
mod known;
pub mod mutants;
mod near;
mod report;
mod seeded;
mod side_by_side;
mod spread;
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

/// What to test.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only the kernels whose name contains this, among them those that no plan holds; else every kernel that a plan can hold.
    pub kernel: Option<String>,
    /// A fault to load on purpose: then only the kernels of its family that it changes are tested.
    pub mutant: Option<&'static Mutant>,
}

/// Tests a device.
///
/// # Errors
/// [`GpuError::NoSuchKernel`] when no kernel that the device can run has the name asked for; [`GpuError::Patch`] when the
/// mutant's patches do not fit the shaders; [`GpuError::Lost`], [`GpuError::OutOfMemory`]. Whatever else a device does wrong is in the report.
pub fn run(gpu: &Gpu, options: &Options) -> Result<Report> {
    run_on(std::slice::from_ref(gpu), options)
}

/// [`run`] on several devices of one adapter in parallel. Each device takes the next untested
/// kernel. Mesa's software drivers compile kernels on one thread per device.
///
/// # Errors
/// As [`run`]; [`GpuError::NoAdapter`] for no device.
pub fn run_on(gpus: &[Gpu], options: &Options) -> Result<Report> {
    let started = Instant::now();
    let gpus = match options.mutant {
        Some(mutant) => &gpus.iter().map(|gpu| gpu.with_patches(mutant.patches)).collect::<Result<Vec<_>>>()?,
        None => gpus,
    };
    let gpu = side_by_side::first(gpus)?;
    let (mut kernels, mut skipped, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tested, mut checks) = (Vec::new(), 0);
    // Families share no cases.
    for family in chosen(options).chunk_by(|a, b| a.family == b.family) {
        let expectations = Expectations::default();
        let of_kernels = side_by_side::each(gpus, family, |gpu, &kernel| check_kernel(gpu, &expectations, kernel))?;
        for (kernel, of_kernel) in family.iter().zip(of_kernels) {
            checks += of_kernel.checks;
            tested.extend(of_kernel.tested);
            match of_kernel.failures {
                Some(failures) => {
                    kernels.push(kernel.name());
                    all.extend(failures);
                }
                None => {
                    skipped.push(Skipped { kernel: kernel.name(), reason: why_not(*kernel, gpu.capabilities()) });
                }
            }
        }
    }
    if kernels.is_empty() {
        return Err(nothing_to_test(options, &skipped).into());
    }
    let device = Device::of(gpu);
    let known::Sorted { failures, known, no_longer_seen } = known::sort(KNOWN_BUGS, &device, &tested, all);
    let (version, mutant) = (env!("CARGO_PKG_VERSION"), options.mutant.map(|mutant| mutant.name));
    let (cases, seconds) = (tested.len(), started.elapsed().as_secs_f64());
    Ok(Report { version, device, mutant, kernels, skipped, cases, checks, failures, known, no_longer_seen, seconds })
}

/// The tests of one kernel.
struct KernelTests {
    /// `None` where the device can run it on no case.
    failures: Option<Vec<Failure>>,
    tested: Vec<Tested>,
    checks: usize,
}

/// Every case of a kernel that the device can run it on.
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

/// The kernels that are asked for, whether or not the device can run them, family by family.
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

/// Every kernel that can be a candidate for a step, of inference or of training.
fn every_candidate() -> impl Iterator<Item = Kernel> {
    all_candidates().into_iter().chain(training_candidates())
}

/// Why a device cannot run a kernel.
fn why_not(kernel: Kernel, capabilities: &Capabilities) -> String {
    let lanes = kernel.tile.lanes;
    if kernel.family.uses_subgroups() && capabilities.subgroup_size != Some(lanes) {
        return match capabilities.subgroup_size {
            Some(size) => format!("needs subgroups of {lanes} lanes; here they have {size}"),
            None => format!("needs subgroups of {lanes} lanes; here they are off or of several sizes"),
        };
    }
    match kernel.runs_on(capabilities) {
        Err(why) => format!("cannot run here: {why}"),
        Ok(()) => "is no candidate for any case".to_owned(),
    }
}

/// No kernel of that name, or none that runs here.
fn nothing_to_test(options: &Options, skipped: &[Skipped]) -> GpuError {
    let kernel = options.kernel.clone().unwrap_or_else(|| "at all".to_owned());
    let step = match skipped.first() {
        Some(Skipped { kernel, reason }) => format!("this device ({kernel} {reason})"),
        None => "the self test".to_owned(),
    };
    GpuError::NoSuchKernel { kernel, step, candidates: Family::ALL.iter().map(|f| f.name().to_owned()).collect() }
}
