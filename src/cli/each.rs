//! Runs a network on each image of a batch. An image that the device cannot process does not fail
//! the others.

use wgpu_bottleneck::error::{ErrorKind, GpuError};
use wgpu_bottleneck::{Error, HostTensor, Image, ImagePipeline, Result, Source};

use super::error::CliError;

/// A computation on images that gives one vector per image, `[images, values, 1, 1]`.
pub type Compute<'a> = &'a dyn Fn(&mut ImagePipeline, &[Source<'_>]) -> Result<HostTensor>;

/// The vector of each image, or its error. If the batch fails because of an image, the images are
/// run one by one.
pub fn each(
    pipeline: &mut ImagePipeline,
    images: &[&Image],
    compute: Compute<'_>,
) -> Result<Vec<Result<Vec<f32>, String>>, CliError> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let sources: Vec<Source<'_>> = images.iter().map(|&image| image.into()).collect();
    match compute(pipeline, &sources) {
        Ok(found) => {
            Ok(found.data().chunks(found.shape().c).map(|vector| finite(vector.to_vec())).collect())
        }
        Err(error) if !is_about_images(&error) => Err(error.into()),
        Err(error) if images.len() == 1 => Ok(vec![Err(error.to_string())]),
        Err(_) => {
            let each = images.iter().map(|&image| self::each(pipeline, &[image], compute));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
    }
}

/// Whether other images may still succeed.
fn is_about_images(error: &Error) -> bool {
    error.kind() == ErrorKind::Input
        || matches!(
            error,
            Error::Gpu(
                GpuError::OutOfMemory { .. }
                    | GpuError::KernelLimit { .. }
                    | GpuError::TooLarge { .. }
            )
        )
}

/// The vector, if all of its values are finite.
fn finite(vector: Vec<f32>) -> Result<Vec<f32>, String> {
    match vector.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(vector),
        wrong => Err(format!("not finite: {wrong} of {} values of its vector", vector.len())),
    }
}
