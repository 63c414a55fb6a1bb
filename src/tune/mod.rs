//! The tuner: measures which kernel is fastest for each shape on this device.
//!
//! ```text
//! every problem (an operation and the shapes of a step)
//!   every candidate that the device can run: results compared with the reference's, then with
//!     those of the other candidates
//!   correct candidates: timed in turn, round after round, by GPU timestamps or the host's clock
//! = a TuningTable, by adapter, driver and shape
//! ```
//!
//! Tuning is optional: without a table, the ranking rule picks kernels ([`kernel::select`]); this
//! is the default and deterministic. With a table, [`TuningTable::kernels`] picks the kernels that
//! were measured as fastest, which may differ after each tuning; results then differ within the
//! [tolerance](crate::BlockChain::tolerance).

mod contest;
mod sample;
mod store;
mod table;
mod watch;

use std::ops::ControlFlow;

pub use table::{Clock, TunedDevice, TunedKernel, TunedShape, TuningTable};
pub use watch::{TuneEvent, TuneOptions};

use self::watch::{Halt, tell};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernel::{self, Problem};

/// The problems to tune among these: each once, and only those with more than one candidate.
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
    /// Measures every candidate for these problems; [`Plan::problem`](crate::plan::Plan::problem)
    /// returns the problem of a plan's step. A candidate is timed only if its output is correct;
    /// other candidates are not in the table. `watch` is called with each event and can stop the
    /// tuner by returning [`ControlFlow::Break`]; the table then has the finished problems.
    ///
    /// The buffers and weights of all candidates for a problem are in device memory at the same
    /// time.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// use wgpu_bottleneck::tune::TuneOptions;
    /// use wgpu_bottleneck::{Bottleneck, Gpu, LoadOptions, Shape, record};
    ///
    /// let gpu = Gpu::new()?;
    /// let block = Bottleneck::torchvision(256, 64).build()?;
    /// let plan = record(
    ///     &[block],
    ///     Shape::new(1, 256, 56, 56)?,
    ///     gpu.capabilities(),
    ///     &LoadOptions::default(),
    /// )?
    /// .plan;
    /// let problems: Vec<_> = plan.steps.iter().map(|step| plan.problem(step)).collect();
    /// let table = gpu.tune(&problems, &TuneOptions::default(), |_| ControlFlow::Continue(()))?;
    /// let options = LoadOptions { kernels: table.kernels(), ..LoadOptions::default() };
    /// # Ok::<(), wgpu_bottleneck::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`GpuError::Lost`](crate::error::GpuError::Lost),
    /// [`GpuError::OutOfMemory`](crate::error::GpuError::OutOfMemory). An error of a single
    /// candidate only rejects that candidate.
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
