//! What to do about `--batch` when a batch needs too much memory or time.

use wgpu_bottleneck::error::GpuError;
use wgpu_bottleneck::network::{TrainingOptions, plan_network_training};
use wgpu_bottleneck::plan::schedule;
use wgpu_bottleneck::{Error, Gpu, LoadOptions, ResNet, Shape};

use super::error::CliError;

/// The watchdog of this system, and when it acts.
const WATCHDOG: &str = if cfg!(windows) {
    "Windows ends work that takes 2 s (TDR)"
} else if cfg!(target_os = "macos") {
    "macOS ends work that takes some seconds"
} else {
    "Linux ends work that takes 60 s (amdgpu; 2 s from Linux 7 on) or less (i915)"
};

/// What to try after an error of the device in a command with this `--batch`; empty if there is
/// nothing to say.
pub fn after(error: &CliError, batch: Option<u32>) -> String {
    let (CliError::Library { source } | CliError::InFile { source, .. }, Some(batch)) =
        (error, batch)
    else {
        return String::new();
    };
    let smaller = match batch {
        0 | 1 => "smaller images".to_owned(),
        _ => format!("--batch {}", batch / 2),
    };
    match source {
        Error::Gpu(GpuError::Lost { .. }) => {
            format!("; if a batch took too long, try {smaller}: {WATCHDOG}")
        }
        Error::Gpu(GpuError::OutOfMemory { .. }) => format!("; try {smaller}"),
        _ => String::new(),
    }
}

/// How to train on the same number of images per step if a batch of this shape exceeds a limit of
/// the device.
pub fn for_training(
    error: Error,
    (spec, gpu): (&ResNet, &Gpu),
    batch: Shape,
    options: &TrainingOptions,
    loading: &LoadOptions,
) -> CliError {
    let Error::Gpu(GpuError::TooLarge { .. }) = error else { return error.into() };
    let fits = |n: usize| {
        let plan = plan_network_training(spec, Shape { n, ..batch }, options)?.plan;
        schedule(plan, gpu.capabilities(), &loading.kernels, loading.budget)
    };
    let (mut below, mut above) = (0, batch.n);
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if fits(middle).is_ok() { below = middle } else { above = middle }
    }
    let advice = match below {
        0 => "; not even one image fits: try smaller images".to_owned(),
        largest => {
            let images = batch.n * options.batches_per_step;
            // A divisor, so that a step has exactly as many images, unless it is much smaller.
            let divisor = (largest / 2 + 1..=largest).rev().find(|n| images.is_multiple_of(*n));
            let n = divisor.unwrap_or(largest);
            format!(
                "; the largest batch that fits is {largest}: try --batch {n} --accumulate {}; the \
                norms' statistics are then of {n} images",
                images.div_ceil(n)
            )
        }
    };
    CliError::Advised { source: error, advice }
}
