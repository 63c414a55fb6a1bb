//! Options of the tuner, and how a caller watches and stops it.

use std::ops::ControlFlow;

use super::TunedShape;
use crate::error::Error;
use crate::kernel::{Kernel, Problem};

/// Options for the tuner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuneOptions {
    /// Maximum number of timed runs per candidate, at least one. Candidates that are much slower
    /// get fewer.
    pub rounds: usize,
}

impl Default for TuneOptions {
    /// 48: on a machine with other load, the best candidates need many rounds to be distinguished.
    fn default() -> Self {
        Self { rounds: 48 }
    }
}

/// Progress of the tuner.
#[derive(Debug)]
#[non_exhaustive]
pub enum TuneEvent<'a> {
    /// A problem starts.
    Begins {
        /// The index of the problem.
        index: usize,
        /// The problem.
        problem: &'a Problem,
        /// Number of candidate kernels.
        candidates: usize,
    },
    /// A candidate was run once more.
    Ran,
    /// A candidate gave wrong results or failed; it is not timed.
    Rejected {
        /// The problem.
        problem: &'a Problem,
        /// The candidate.
        kernel: Kernel,
        /// The reason.
        why: &'a str,
    },
    /// A problem is finished.
    Measured(&'a TunedShape),
}

/// Why tuning stops early.
pub(super) enum Halt {
    /// `watch` requested it.
    Asked,
    /// The device failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Reports an event to `watch`.
pub(super) fn tell(
    watch: &mut impl FnMut(TuneEvent<'_>) -> ControlFlow<()>,
    event: TuneEvent<'_>,
) -> Result<(), Halt> {
    if watch(event).is_break() { Err(Halt::Asked) } else { Ok(()) }
}
