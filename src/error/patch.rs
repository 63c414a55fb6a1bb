//! Errors of patches to shaders.

/// Why a patch cannot be applied to a file of `shaders/`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The catalogue has no such file.
    #[error("patch of {file}: there is no such shader file")]
    NoSuchFile {
        /// The requested file.
        file: String,
    },
    /// The text to replace does not occur in the file as often as the patch expects.
    #[error("patch of {file}: expected {expected} of \"{find}\", found {found}")]
    Matches {
        /// The file.
        file: String,
        /// The text to replace.
        find: String,
        /// The expected number of occurrences.
        expected: usize,
        /// The number found.
        found: usize,
    },
}
