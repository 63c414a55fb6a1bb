//! Why a table of measured kernels is not used.

/// What keeps a [`TuningTable`](crate::tune::TuningTable) from being believed. None of it is serious: without one, kernels are
/// picked by the ranking rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// The file is not one of ours, or damaged.
    #[error("not a tuning table: {reason}")]
    NotATable {
        /// What is wrong with it.
        reason: String,
    },
    /// Another version of this crate wrote it, whose kernels were others.
    #[error("a tuning table of {found}, this is {expected}")]
    OtherVersion {
        /// Schema and version as the file says them.
        found: String,
        /// Those of this crate.
        expected: String,
    },
    /// It was measured on another device or driver.
    #[error("a tuning table of {found}, this is {expected}")]
    OtherDevice {
        /// The device that it is of.
        found: String,
        /// The one that is here.
        expected: String,
    },
}
