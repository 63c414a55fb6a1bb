//! Why a table of measured kernels is not used.

/// Why a [`TuningTable`](crate::tune::TuningTable) is rejected. This is never fatal: without a
/// table, the ranking rule picks the kernels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// The file is not a tuning table of this crate, or is damaged.
    #[error("not a tuning table: {reason}")]
    NotATable {
        /// What is wrong with it.
        reason: String,
    },
    /// It was written by another version of this crate, which had other kernels.
    #[error("the tuning table is for {found}, expected {expected}")]
    OtherVersion {
        /// Schema and version stated in the file.
        found: String,
        /// Schema and version of this crate.
        expected: String,
    },
    /// It was measured on another device or driver.
    #[error("the tuning table is for {found}, expected {expected}")]
    OtherDevice {
        /// The device in the table.
        found: String,
        /// The device in use.
        expected: String,
    },
}
