//! Runs a network on each image of a batch. An image that the device cannot process does not fail
//! the others.

use wgpu_bottleneck::error::{ErrorKind, GpuError};
use wgpu_bottleneck::{Error, HostTensor, Image, ImagePipeline, Result, Source};

use super::error::CliError;

/// A computation on images that gives one vector per image, `[images, values, 1, 1]`.
pub type Compute<'a> = &'a dyn Fn(&mut ImagePipeline, &[Source<'_>]) -> Result<HostTensor>;

/// Why an image has no vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoVector {
    /// An error of the image, which is the same on every attempt.
    Image(String),
    /// The device or the host ran out of memory on this image alone; a later attempt may succeed.
    OutOfMemory(String),
}

/// The vector of each image, or why there is none. If the batch fails because of an image, the
/// images are run one by one.
///
/// # Errors
/// An error of the device that does not depend on the images, such as its loss.
pub fn each(
    pipeline: &mut ImagePipeline,
    images: &[&Image],
    compute: Compute<'_>,
) -> Result<Vec<Result<Vec<f32>, NoVector>>, CliError> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let sources: Vec<Source<'_>> = images.iter().map(|&image| image.into()).collect();
    match compute(pipeline, &sources) {
        Ok(found) => {
            let vectors = found.data().chunks(found.shape().c);
            Ok(vectors.map(|vector| finite(vector.to_vec()).map_err(NoVector::Image)).collect())
        }
        Err(error) => match (about_images(&error), images) {
            (None, _) => Err(error.into()),
            (Some(reason), [_]) => Ok(vec![Err(reason)]),
            (Some(_), _) => {
                let each = images.iter().map(|&image| self::each(pipeline, &[image], compute));
                Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
            }
        },
    }
}

/// The error as the error of an image; `None` if other images fail too.
fn about_images(error: &Error) -> Option<NoVector> {
    match error {
        _ if error.is_out_of_memory() => Some(NoVector::OutOfMemory(error.to_string())),
        Error::Gpu(GpuError::KernelLimit { .. } | GpuError::TooLarge { .. }) => {
            Some(NoVector::Image(error.to_string()))
        }
        _ => (error.kind() == ErrorKind::Input).then(|| NoVector::Image(error.to_string())),
    }
}

/// The vector, if all of its values are finite.
fn finite(vector: Vec<f32>) -> Result<Vec<f32>, String> {
    match vector.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(vector),
        wrong => Err(format!("not finite: {wrong} of {} values of its vector", vector.len())),
    }
}

#[cfg(test)]
mod tests {
    use wgpu_bottleneck::error::{ImageError, ShapeError};

    use super::*;

    #[test]
    fn only_an_image_s_own_error_is_kept() {
        let out_of_memory = GpuError::OutOfMemory { doing: "uploading" };
        let lost = GpuError::Lost { reason: "gone".to_owned() };
        let too_large = GpuError::TooLarge { what: "an image".to_owned(), bytes: 2, limit: 1 };
        let format = ImageError::Format { image: "a".to_owned(), reason: "b".to_owned() };
        let image = ImageError::Memory { image: "a".to_owned(), bytes: 2, available: None };
        let (tensor, dims) = ("a".to_owned(), vec![1]);
        let shape = ShapeError::Memory { tensor, dims, bytes: 2, available: Some(1) };
        let of = |error: Error| about_images(&error);
        for of_host in [image.into(), shape.into()] {
            assert!(matches!(of(of_host), Some(NoVector::OutOfMemory(_))));
        }
        assert!(matches!(of(out_of_memory.into()), Some(NoVector::OutOfMemory(_))));
        assert!(matches!(of(too_large.into()), Some(NoVector::Image(_))));
        assert!(matches!(of(format.into()), Some(NoVector::Image(_))));
        assert_eq!(of(lost.into()), None);
    }
}
