//! One pass over the library: every result must be right or an error.

use wgpu_bottleneck::error::{Error, GpuError};
use wgpu_bottleneck::tensor::compare;
use wgpu_bottleneck::{Gpu, LoadOptions, Network, Preprocessor, Result, Trainer, TrainingOptions};

use super::cases::{Case, image, inputs, preprocess, state, weights};
use super::{Failure, Outcome, app, wrong};

/// On a device of the library.
pub fn owned() -> Outcome {
    pass(&Gpu::new()?)
}

/// On a device of the app.
pub fn borrowed() -> Outcome {
    let (device, queue) = app::device()?;
    pass(&Gpu::from_wgpu(device, queue))
}

/// The errors of the calls on one device.
#[derive(Default)]
struct Errors {
    texts: Vec<String>,
    /// Whether a call reported that the device is lost.
    is_lost: bool,
}

impl Errors {
    /// The value of a result. Records an error.
    fn value<T>(&mut self, doing: &str, result: Result<T>) -> Option<T> {
        let note = |error: Error| {
            self.is_lost |= matches!(error, Error::Gpu(GpuError::Lost { .. }));
            self.texts.push(format!("{doing}: {:?}: {error}", error.kind()));
        };
        result.map_err(note).ok()
    }

    /// Fails if the result is a wrong value, or a value from a lost device.
    fn check(&mut self, doing: &str, is_right: Result<bool>) -> Outcome {
        match self.value(doing, is_right) {
            Some(_) if self.is_lost => wrong(format!("{doing} worked on a lost device")),
            Some(false) => wrong(doing),
            Some(true) | None => Ok(()),
        }
    }

    /// An error if a call failed.
    fn finish(&self) -> Outcome {
        match self.texts.as_slice() {
            [] => Ok(()),
            [only] => Err(Failure::Error(only.clone())),
            [first, .., last] => {
                let all = self.texts.len();
                Err(Failure::Error(format!("{all} errors, the first {first}, the last {last}")))
            }
        }
    }
}

fn pass(gpu: &Gpu) -> Outcome {
    let mut errors = Errors::default();
    blocks(gpu, &mut errors)?;
    network(gpu, &mut errors)?;
    training(gpu, &mut errors)?;
    images(gpu, &mut errors)?;
    errors.finish()
}

fn blocks(gpu: &Gpu, errors: &mut Errors) -> Outcome {
    let case = Case::open("plain", 1)?;
    if let Some(mut chain) = errors.value("loading a block", case.load(gpu)) {
        for _ in 0..3 {
            let output = chain.run(&case.input);
            errors.check("running a block", output.map(|output| case.is_right(&output)))?;
        }
    }
    let case = Case::open("s2_odd_downsample", 2)?;
    if let Some(mut chain) = errors.value("loading another block", case.load(gpu)) {
        let output = pollster::block_on(chain.run_async(&case.input));
        errors.check("running async", output.map(|output| case.is_right(&output)))?;
    }
    Ok(())
}

fn network(gpu: &Gpu, errors: &mut Errors) -> Outcome {
    let (input, _) = inputs()?;
    let weights = weights()?;
    let loaded = Network::load(gpu, &weights, input.shape(), &LoadOptions::default());
    let Some(mut network) = errors.value("loading a network", loaded) else { return Ok(()) };
    let expected = network.reference(&weights, &input)?;
    let tolerance = network.tolerance();
    for _ in 0..2 {
        let is_right = network.run(&input).map(|outputs| {
            let pairs = outputs.iter().zip(&expected);
            pairs
                .into_iter()
                .all(|((_, found), (_, expected))| compare(expected, found, tolerance).passed())
        });
        errors.check("running a network", is_right)?;
    }
    Ok(())
}

fn training(gpu: &Gpu, errors: &mut Errors) -> Outcome {
    let (_, batch) = inputs()?;
    let (options, loading) = (TrainingOptions::default(), LoadOptions::default());
    let loaded = Trainer::load(gpu, &state()?, batch.shape(), &options, &loading);
    let Some(mut trainer) = errors.value("loading a trainer", loaded) else { return Ok(()) };
    for _ in 0..2 {
        let metrics = trainer.step(&batch, &[0, 1, 2, 3], 0.01);
        let plausible = |loss: &f32| (0.5..5.0).contains(loss);
        errors.check("a step", metrics.map(|metrics| metrics.losses.iter().all(plausible)))?;
    }
    let has_weights = trainer.state().map(|state| {
        state.values("fc.weight").is_ok_and(|values| values.iter().any(|value| *value != 0.0))
    });
    errors.check("reading the state", has_weights)
}

fn images(gpu: &Gpu, errors: &mut Errors) -> Outcome {
    let preprocess = preprocess();
    let image = image(50, 40)?;
    let expected = preprocess.tensor(std::slice::from_ref(&image))?;
    let made = Preprocessor::new(gpu, &preprocess);
    let Some(preprocessor) = errors.value("making a preprocessor", made) else { return Ok(()) };
    for _ in 0..2 {
        let tensor = preprocessor.run(&[(&image).into()]);
        errors.check("preprocessing", tensor.map(|tensor| tensor == expected))?;
    }
    Ok(())
}

/// Uses the same objects again after an error: each later result must be right or an error.
pub fn reuse() -> Outcome {
    let gpu = Gpu::new()?;
    let case = Case::open("plain", 1)?;
    let mut errors = Errors::default();
    let loaded = (0..5).find_map(|_| errors.value("loading a block", case.load(&gpu)));
    if let Some(mut chain) = loaded {
        for _ in 0..8 {
            let output = chain.run(&case.input);
            errors.check("running a block", output.map(|output| case.is_right(&output)))?;
        }
    }
    let (_, batch) = inputs()?;
    let state = state()?;
    let losses = steps(&gpu, &mut errors)?;
    if errors.texts.is_empty() || losses.is_empty() {
        return errors.finish();
    }
    // An undisturbed trainer on another device: a failed step must not count.
    let options = TrainingOptions::default();
    let other = Gpu::new()?;
    let mut trainer =
        Trainer::load(&other, &state, batch.shape(), &options, &LoadOptions::default())?;
    for (step, loss) in losses.iter().enumerate() {
        let expected = trainer.step(&batch, &[0, 1, 2, 3], 0.05)?.loss();
        if *loss != expected {
            return wrong(format!("loss {loss} of step {step} after errors, not {expected}"));
        }
    }
    errors.finish()
}

/// The losses of six steps, however many errors occur between them.
fn steps(gpu: &Gpu, errors: &mut Errors) -> Outcome<Vec<f64>> {
    let (_, batch) = inputs()?;
    let (state, options) = (state()?, TrainingOptions::default());
    let load = || Trainer::load(gpu, &state, batch.shape(), &options, &LoadOptions::default());
    let loaded = (0..5).find_map(|_| errors.value("loading a trainer", load()));
    let Some(mut trainer) = loaded else { return Ok(Vec::new()) };
    let mut losses = Vec::new();
    for _ in 0..20 {
        let metrics = trainer.step(&batch, &[0, 1, 2, 3], 0.05);
        errors
            .check("a step", metrics.map(|metrics| losses.push(metrics.loss())).map(|()| true))?;
        if losses.len() == 6 {
            break;
        }
    }
    Ok(losses)
}
