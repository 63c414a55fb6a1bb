//! The tuner: which kernel is fastest for a shape on this device, measured.
//!
//! ```text
//! every problem (the shapes of a step, and what it computes)
//!   every candidate that the device can run: its numbers against the reference's, then against those of the others
//!   those that were right, in turn, round after round: GPU timestamps, or the clock of the host
//! = a TuningTable, by adapter, driver and shape
//! ```
//!
//! Nothing needs a tuner: without a table the ranking rule picks ([`kernel::select`]), which is the default, and the same every
//! time. With one, [`TuningTable::kernels`] picks what was measured, which may be another kernel after each tuning; numbers
//! then differ within the [tolerance](crate::Model::tolerance).

mod contest;
mod sample;
mod store;
mod table;

use std::ops::ControlFlow;

pub use table::{Clock, TunedDevice, TunedKernel, TunedShape, TuningTable};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernel::{self, Kernel, Problem};

/// How much a tuner does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuneOptions {
    /// The most that each candidate is timed, at least once. Those that are far behind are timed less.
    pub rounds: usize,
}

impl Default for TuneOptions {
    /// 48: on a machine that does other things too, the best few need many to tell them apart.
    fn default() -> Self {
        Self { rounds: 48 }
    }
}

/// What a tuner is at.
#[derive(Debug)]
#[non_exhaustive]
pub enum TuneEvent<'a> {
    /// A problem begins.
    Begins {
        /// Which of the problems.
        index: usize,
        /// The problem.
        problem: &'a Problem,
        /// How many kernels there are to choose from.
        candidates: usize,
    },
    /// A candidate has been run once more.
    Ran,
    /// A candidate gave wrong numbers, or none; its time is not taken.
    Rejected {
        /// The problem.
        problem: &'a Problem,
        /// The candidate.
        kernel: Kernel,
        /// What was wrong.
        why: &'a str,
    },
    /// A problem is done.
    Measured(&'a TunedShape),
}

/// The problems among these that are there to be tuned: each once, and only where there is more than one candidate.
#[must_use]
pub fn worth_tuning(problems: impl IntoIterator<Item = Problem>, gpu: &Gpu) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    for problem in problems {
        if !found.contains(&problem) && kernel::candidates(&problem, gpu.capabilities()).len() > 1 {
            found.push(problem);
        }
    }
    found
}

impl Gpu {
    /// Measures every candidate of these problems: those of a plan's steps are [`Plan::problem`](crate::plan::Plan::problem).
    /// A candidate is timed only after its output was found right, and one that was not is not in the table. `watch` is told what
    /// happens and ends it by [`ControlFlow::Break`]; the table then has the problems that were done.
    ///
    /// The buffers and weights of all candidates of a problem lie in device memory at once.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// use wgpu_bottleneck::tune::TuneOptions;
    /// use wgpu_bottleneck::{Bottleneck, Gpu, LoadOptions, Shape, record};
    ///
    /// let gpu = Gpu::new()?;
    /// let block = Bottleneck::torchvision(256, 64).build()?;
    /// let plan = record(&[block], Shape::new(1, 256, 56, 56)?, gpu.capabilities(), &LoadOptions::default())?.plan;
    /// let problems: Vec<_> = plan.steps.iter().map(|step| plan.problem(step)).collect();
    /// let table = gpu.tune(&problems, &TuneOptions::default(), |_| ControlFlow::Continue(()))?;
    /// let options = LoadOptions { kernels: table.kernels(), ..LoadOptions::default() };
    /// # Ok::<(), wgpu_bottleneck::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost) and other failures of the device as a whole. What it makes of one candidate
    /// is a reason not to take that one.
    pub fn tune(
        &self,
        problems: &[Problem],
        options: &TuneOptions,
        mut watch: impl FnMut(TuneEvent<'_>) -> ControlFlow<()>,
    ) -> Result<TuningTable> {
        let mut table = TuningTable::new(self);
        for (index, problem) in problems.iter().enumerate() {
            let candidates = kernel::candidates(problem, self.capabilities()).len();
            let outcome = tell(&mut watch, TuneEvent::Begins { index, problem, candidates })
                .and_then(|()| contest::contest(self, problem, options, &mut watch));
            let (shape, stop) = match outcome {
                Ok(None) => continue,
                Ok(Some(shape)) => {
                    let stop = watch(TuneEvent::Measured(&shape)).is_break();
                    (shape, stop)
                }
                Err(Halt::Asked) => break,
                Err(Halt::Failed(error)) => return Err(error),
            };
            table.insert(shape);
            if stop {
                break;
            }
        }
        Ok(table)
    }
}

/// Why a contest ends early.
enum Halt {
    /// Who watches wants it so.
    Asked,
    /// The device failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Tells who watches.
fn tell(watch: &mut impl FnMut(TuneEvent<'_>) -> ControlFlow<()>, event: TuneEvent<'_>) -> Result<(), Halt> {
    if watch(event).is_break() { Err(Halt::Asked) } else { Ok(()) }
}
