//! Errors of patches to shaders.

/// Why a patch cannot be applied to a file of `shaders/`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// No such file is in the catalogue.
    #[error("patch of {file}: there is no such shader file")]
    NoSuchFile {
        /// The file asked for.
        file: String,
    },
    /// The text to replace does not stand in the file as often as the patch says.
    #[error("patch of {file}: expected {expected} of \"{find}\", found {found}")]
    Matches {
        /// The file.
        file: String,
        /// What was to be replaced.
        find: String,
        /// How often it must be there.
        expected: usize,
        /// How often it is.
        found: usize,
    },
}
