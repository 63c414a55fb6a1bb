//! The rows that are read back from an output file of an earlier run, in any format.

use std::io;

use super::fingerprint::Fingerprint;
use super::rows::{Row, damaged};

/// The contents of a file.
pub struct Stored {
    pub about: Fingerprint,
    /// The checksum of the rows.
    pub checksum: String,
    pub rows: Box<dyn Iterator<Item = io::Result<Row>>>,
}

/// The error for a file without a fingerprint.
pub(super) fn foreign() -> io::Error {
    damaged("not written by this version of bottleneck embed, or damaged: no rows can be added")
}
