//! All errors of the crate. They are typed and carry the numbers involved; the message is one line
//! and names the tensor or the parameter.

mod differences;
mod gpu;
mod image;
mod lack;
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
/// [`Error::kind`] sorts the variants into the groups that a program handles differently.
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

/// The groups of errors. The caller can correct the first; a later attempt may succeed after the
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or its arguments are wrong; the same call fails again.
    Input,
    /// The GPU failed, is lost or ran out of memory; another device or a later attempt may succeed.
    Gpu,
    /// There is not enough host memory; a smaller request or a later attempt may succeed.
    Memory,
}

impl Error {
    /// The group that the error belongs to.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Gpu(error) if !error.is_input() => ErrorKind::Gpu,
            Error::Shape(ShapeError::Memory { .. }) | Error::Image(ImageError::Memory { .. }) => {
                ErrorKind::Memory
            }
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::OutOfMemory => {
                ErrorKind::Memory
            }
            _ => ErrorKind::Input,
        }
    }

    /// Whether the host or the device ran out of memory. The same call may succeed later.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.kind() == ErrorKind::Memory || matches!(self, Error::Gpu(GpuError::OutOfMemory { .. }))
    }
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_memory_has_its_kind_and_its_numbers() {
        let (tensor, image) = ("tensor".to_owned(), "a.png".to_owned());
        let shape = ShapeError::Memory { tensor, dims: vec![1, 2], bytes: 9, available: Some(8) };
        let shape = shape.of_tensor("input");
        let image = ImageError::Memory { image, bytes: 9, available: None };
        let advice = "use a smaller size or batch, or close other programs";
        let text = "input: shape [1, 2] needs 9 bytes of host memory, 8 are available: ";
        assert_eq!(shape.to_string(), format!("{text}{advice}"));
        let text = "a.png: needs 9 bytes of host memory, which are not available: ";
        assert_eq!(image.to_string(), format!("{text}{advice}"));
        let io = |kind: std::io::ErrorKind| Error::Io { path: "a".into(), source: kind.into() };
        for error in [shape.into(), image.into(), io(std::io::ErrorKind::OutOfMemory)] {
            let kind = Error::kind(&error);
            assert!(kind == ErrorKind::Memory && error.is_out_of_memory(), "{error:?}");
        }
        let device = Error::from(GpuError::OutOfMemory { doing: "testing" });
        assert!(device.kind() == ErrorKind::Gpu && device.is_out_of_memory());
        let other = io(std::io::ErrorKind::NotFound);
        assert!(other.kind() == ErrorKind::Input && !other.is_out_of_memory());
    }
}
