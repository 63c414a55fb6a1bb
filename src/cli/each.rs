//! What a network makes of each picture of a batch: one that the device cannot take does not keep the others from theirs.

use wgpu_bottleneck::error::{ErrorKind, GpuError};
use wgpu_bottleneck::{Backbone, Error, HostTensor, Picture, Result, Source};

use super::error::CliError;

/// What is computed of pictures: a vector for each.
pub type Compute = fn(&mut Backbone, &[Source<'_>]) -> Result<HostTensor>;

/// The vector of each picture, or why there is none. Where the batch fails for one of its pictures, they are run one by one.
pub fn each(
    backbone: &mut Backbone,
    pictures: &[&Picture],
    compute: Compute,
) -> Result<Vec<Result<Vec<f32>, String>>, CliError> {
    if pictures.is_empty() {
        return Ok(Vec::new());
    }
    let sources: Vec<Source<'_>> = pictures.iter().map(|&picture| picture.into()).collect();
    match compute(backbone, &sources) {
        Ok(found) => Ok(found.data().chunks(found.shape().c).map(|vector| finite(vector.to_vec())).collect()),
        Err(error) if !is_about_pictures(&error) => Err(error.into()),
        Err(error) if pictures.len() == 1 => Ok(vec![Err(error.to_string())]),
        Err(_) => {
            let each = pictures.iter().map(|&picture| self::each(backbone, &[picture], compute));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
    }
}

/// Whether other pictures may still be computed.
fn is_about_pictures(error: &Error) -> bool {
    error.kind() == ErrorKind::Input
        || matches!(
            error,
            Error::Gpu(GpuError::OutOfMemory { .. } | GpuError::KernelLimit { .. } | GpuError::TooLarge { .. })
        )
}

/// The vector, if it is one of numbers.
fn finite(vector: Vec<f32>) -> Result<Vec<f32>, String> {
    match vector.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(vector),
        wrong => Err(format!("not finite: {wrong} of {} values of its vector", vector.len())),
    }
}
