//! Detects layers that overflow half precision, before a wrong result is returned.
//!
//! A kernel stores NaN where a value overflows f16 (`shaders/shared/narrow.wgsl`), and NaN
//! propagates to the output. If a result contains NaN or infinity, the plan runs once more in f32
//! with every tensor kept, to find the values that are too large.

use super::LoadOptions;
use crate::error::{Error, GpuError, PrecisionError, Result};
use crate::gpu::{Executor, Gpu};
use crate::op::StepParams;
use crate::plan::{self, KernelChoice, MemoryBudget, Plan, Precision, Step, TensorId};
use crate::tensor::{DType, HostTensor, Shape};

/// A step that overflows half precision.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TooLarge {
    /// Its name; `None` if the input itself is too large.
    pub step: Option<String>,
    /// The steps that read its output: if that is kept in f32, they compute in f32 too.
    pub readers: Vec<String>,
    /// Its largest value.
    pub value: f32,
}

/// The plan in the precision of the options, for a device with or without f16.
pub(super) fn in_precision(plan: Plan, has_half: bool, options: &LoadOptions) -> Result<Plan> {
    match options.precision.dtype(has_half)? {
        DType::F16 => {
            let edges = if options.half_edges { DType::F16 } else { DType::F32 };
            Ok(plan.in_half(&options.keep_f32, edges)?)
        }
        _ => Ok(plan),
    }
}

/// Loads until no weight overflows f16, if the options permit f32 for such layers; these are added
/// to `keep_f32`.
pub(super) fn with_fallback<T>(
    options: &mut LoadOptions,
    mut load: impl FnMut(&LoadOptions) -> Result<T>,
) -> Result<T> {
    loop {
        match load(options) {
            Err(Error::Precision(PrecisionError::Weight { step, value }))
                if options.precision == Precision::Auto =>
            {
                tracing::warn!(
                    "{step} is computed in f32: a weight is {value}, which f16 cannot hold"
                );
                options.keep_f32.push(step);
            }
            loaded => return loaded,
        }
    }
}

/// Whether a tensor contains NaN or infinity.
pub(super) fn has_non_finite(tensor: &HostTensor) -> bool {
    tensor.data().iter().any(|value| !value.is_finite())
}

/// The steps of an f32 plan whose values are too large for f16 on this input, in order. Empty if
/// the output is not finite in f32 either: then the network itself overflows.
pub(super) fn too_large(
    gpu: &Gpu,
    mut plan: Plan,
    params: impl FnMut(&Step) -> Result<StepParams>,
    input: &HostTensor,
) -> Result<Vec<TooLarge>> {
    plan.fetches =
        plan.steps.iter().map(|step| step.output).filter(|id| *id != plan.output).collect();
    let exact = MemoryBudget { extra_weight_bytes: 0 };
    let recording =
        plan::schedule(plan.clone(), gpu.capabilities(), &KernelChoice::RankedFor(1), exact)?;
    let mut executor = Executor::streamed(gpu, recording, params, Default::default())?;
    let output = executor.run(input)?;
    if has_non_finite(&output) {
        return Ok(Vec::new());
    }
    let largest = |tensor: &HostTensor| {
        tensor.data().iter().fold(0.0, |most: f32, value| most.max(value.abs()))
    };
    let mut sizes = vec![(None, plan.input, largest(input))];
    // The tensor between a convolution and its norm is f32 in any case.
    for step in plan.steps.iter().filter(|step| !plan.is_before_norm(step)) {
        let size = if step.output == plan.output {
            largest(&output)
        } else {
            largest(&executor.read(step.output)?)
        };
        sizes.push((Some(step.module.clone()), step.output, size));
    }
    // What f16 computes differs by its roundings, so that a value a little smaller may be too large
    // there.
    let limit = sizes
        .iter()
        .map(|(_, _, size)| *size)
        .fold(0.0, f32::max)
        .min(0.98 * DType::F16.overflow() as f32);
    let names = |id: TensorId| {
        let reads = plan.steps.iter().filter(move |step| step.reads().any(|read| read == id));
        reads.map(|step| step.module.clone()).collect()
    };
    let large = sizes.into_iter().filter(|(_, _, size)| *size >= limit);
    Ok(large.map(|(step, id, value)| TooLarge { step, readers: names(id), value }).collect())
}

/// Searches the finite images of a batch whose outputs are not finite, one by one, up to the first
/// with a result.
pub(super) fn in_images(
    input: &HostTensor,
    outputs: &[HostTensor],
    mut find: impl FnMut(&HostTensor) -> Result<Vec<TooLarge>>,
) -> Result<Vec<TooLarge>> {
    let images = input.shape().n;
    let shape = Shape { n: 1, ..input.shape() };
    let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    for (at, image) in input.data().chunks(shape.len()).enumerate() {
        let of_image = |output: &HostTensor| {
            let length = output.data().len() / images;
            is_finite(&output.data()[at * length..][..length])
        };
        if !is_finite(image) || outputs.iter().all(of_image) {
            continue;
        }
        let found = find(&HostTensor::new(shape, image.to_vec())?)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Handles the steps found: returns an error that names the first, or, if the options permit f32,
/// adds their names to `keep_f32`. Returns whether to run again; false if nothing was found, as the
/// network itself is then not finite.
///
/// If a single image with every tensor kept is too large for the device in f32, the layers remain
/// unknown and all of them are computed in f32.
pub(super) fn keep_in_f32(
    options: &mut LoadOptions,
    found: Result<Vec<TooLarge>>,
    what: &str,
) -> Result<bool> {
    let found = match found {
        Err(Error::Gpu(GpuError::TooLarge { .. })) if options.precision == Precision::Auto => {
            tracing::warn!(
                "{what} is computed in f32 from now on: some value is too large for f16"
            );
            options.precision = Precision::F32;
            return Ok(true);
        }
        found => found?,
    };
    let (before, any) = (options.keep_f32.len(), !found.is_empty());
    for TooLarge { step, readers, value } in found {
        let name = step.clone().unwrap_or_else(|| "the input".to_owned());
        if options.precision != Precision::Auto {
            return Err(PrecisionError::Activation { step: name, value }.into());
        }
        let new: Vec<String> = step
            .into_iter()
            .chain(readers)
            .filter(|step| !options.keep_f32.contains(step))
            .collect();
        if !new.is_empty() {
            tracing::warn!(
                "{} in f32 from now on: {name} is {value}, which f16 cannot hold",
                new.join(", ")
            );
        }
        options.keep_f32.extend(new);
    }
    if any && options.keep_f32.len() == before {
        let reason = "half precision gives NaN or infinity, and the f32 run does not show where";
        return Err(GpuError::Recording { step: what.to_owned(), reason }.into());
    }
    Ok(any)
}

/// Rejects a precision of f16, for operations that support f32 only.
pub(super) fn only_f32(options: &LoadOptions) -> Result<()> {
    match options.precision {
        Precision::F16 => Err(PrecisionError::Training.into()),
        Precision::F32 | Precision::Auto => Ok(()),
    }
}
