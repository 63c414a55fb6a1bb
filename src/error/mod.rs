//! All errors of the crate. They are typed and carry the numbers involved; the message is one line
//! and names the tensor or the parameter.

mod differences;
mod gpu;
mod image;
mod patch;
mod precision;
mod pth;
mod shape;
mod spec;
mod training;
mod tuning;
mod weights;

use std::path::PathBuf;

pub use differences::{Differences, ShapeDifference};
pub use gpu::GpuError;
pub use image::ImageError;
pub use patch::PatchError;
pub use precision::PrecisionError;
pub use pth::PthError;
pub use shape::ShapeError;
pub use spec::SpecError;
pub use training::TrainingError;
pub use tuning::TuningError;
pub use weights::WeightsError;

/// Any error that a call of this crate can return.
///
/// [`Error::kind`] sorts the variants into the two groups that a program handles differently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or size is impossible, or does not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A specification of a block or a network is impossible.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A state dict does not fit the block or the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An image, or its preprocessing, cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something cannot be computed in half precision.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// A training run cannot continue.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// The GPU, its driver or one of its limits caused a failure.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// The two groups of errors: the caller can correct one, the other is a failure of the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request or its arguments are wrong; the same call fails again.
    Input,
    /// The GPU failed, is lost or ran out of memory; another device or a later attempt may succeed.
    Gpu,
}

impl Error {
    /// The group that the error belongs to.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Gpu(error) if !error.is_input() => ErrorKind::Gpu,
            _ => ErrorKind::Input,
        }
    }
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;
