//! `bottleneck block --train`: one batch through one block in training mode, forward and backward.

use wgpu_bottleneck::error::ShapeError;
use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::{Error, HostTensor, Shape, StateDict, TrainedBlock, TrainingOptions, TrainingStep, network};

use super::args::read_input;
use super::block_args::{BlockArgs, Momentum};
use super::error::CliError;
use super::files::{OutputFile, Values};
use super::output::{self, count};

/// How far outputs and statistics may be from the reference, as a share of the largest value,
const FORWARD: f64 = 1e-5;
/// and gradients.
const BACKWARD: f64 = 2e-5;

/// Runs the command.
pub fn run(args: &BlockArgs) -> Result<(), CliError> {
    let output = OutputFile::check(&args.output, &[&args.input, &args.spec.weights])?;
    let block = args.spec.trainable_block()?;
    let input = read_input(&args.input)?;
    let plan = network::plan_block_training(&block.spec, input.shape()).map_err(CliError::in_file(&args.input))?;
    let shape = plan.plan.tensor(plan.out).shape;
    let file = StateDict::open(&args.input)?;
    let given = file.dims("grad_out").is_some();
    let grad_out =
        if given { file.image("grad_out").map_err(CliError::in_file(&args.input))? } else { HostTensor::zeros(shape) };
    if grad_out.shape() != shape {
        let (expected, found) = (shape.dims().to_vec(), grad_out.shape().dims().to_vec());
        let wrong = ShapeError::Mismatch { tensor: "grad_out".to_owned(), expected, found };
        return Err(CliError::in_file(&args.input)(wrong.into()));
    }
    let gpu = args.spec.engine.adapter.gpu_with_kept_pipelines()?;
    let loading = args.spec.engine.load_options(Some(&gpu), Some(1))?;
    let Momentum(momentum) = args.momentum.unwrap_or_default();
    let training = TrainingOptions { momentum };
    let mut block = TrainedBlock::load(&gpu, block, input.shape(), &training, &loading)?;
    let expected = if args.verify { Some(block.reference(&input, &grad_out)?) } else { None };
    let step = block.step(&input, &grad_out)?;
    let verdict = expected.map(|expected| verify(&expected, &step)).transpose()?.unwrap_or_default();
    write(&output, &step, given)?;
    let recording = block.recording();
    let steps = count(recording.plan.steps.len(), "step", "steps");
    let buffers = count(recording.segments.len(), "command buffer", "command buffers");
    let (adapter, input, out) = (gpu.describe(), input.shape(), step.out.shape());
    output::progress(&format!("{adapter}: {input} -> {out} and back in {steps}, {buffers}{verdict}"));
    Ok(())
}

/// The output and the statistics; with a gradient of the output, every gradient.
fn write(output: &OutputFile, step: &TrainingStep, with_gradients: bool) -> Result<(), CliError> {
    let out = step.out.shape().dims();
    let mut tensors: Vec<(String, Vec<usize>, Values<'_>)> =
        vec![("out".to_owned(), out.to_vec(), Values::F32(step.out.data()))];
    for (key, values) in &step.statistics {
        tensors.push((key.clone(), vec![values.len()], Values::F32(values)));
    }
    for (key, batches) in &step.batches {
        tensors.push((key.clone(), Vec::new(), Values::I64(std::slice::from_ref(batches))));
    }
    if with_gradients {
        let input = &step.gradients.input;
        tensors.push(("grad.input".to_owned(), input.shape().dims().to_vec(), Values::F32(input.data())));
        for (key, dims, values) in &step.gradients.parameters {
            tensors.push((format!("grad.{key}"), dims.clone(), Values::F32(values)));
        }
    }
    output.write_values(tensors.iter().map(|(key, dims, values)| (key.as_str(), dims.as_slice(), *values)))
}

/// Holds a step against the reference's.
fn verify(expected: &TrainingStep, found: &TrainingStep) -> Result<String, CliError> {
    let forward = std::iter::once(("out", expected.out.data(), found.out.data()));
    let statistics = expected.statistics.iter().zip(&found.statistics);
    let forward =
        forward.chain(statistics.map(|((key, expected), (_, found))| (key.as_str(), &expected[..], &found[..])));
    let (ours, theirs) = (&found.gradients, &expected.gradients);
    let backward = std::iter::once(("grad.input", theirs.input.data(), ours.input.data()));
    let parameters = theirs.parameters.iter().zip(&ours.parameters);
    let backward =
        backward.chain(parameters.map(|((key, _, expected), (_, _, found))| (key.as_str(), &expected[..], &found[..])));
    let mut worst = [0.0_f64; 2];
    let checks = forward.map(|check| (0, FORWARD, check)).chain(backward.map(|check| (1, BACKWARD, check)));
    for (at, tolerance, (name, expected, found)) in checks {
        let tensor = |values: &[f32]| {
            let shape = Shape { n: 1, c: values.len(), h: 1, w: 1 };
            HostTensor::new(shape, values.to_vec()).map_err(Error::from)
        };
        let comparison = compare(&tensor(expected)?, &tensor(found)?, Tolerance::relative(tolerance));
        if !comparison.passed() {
            return Err(CliError::Wrong(format!("{name}: {comparison}")));
        }
        worst[at] = worst[at].max(comparison.relative_error());
    }
    Ok(format!("; verified: forward off {:.1e}, gradients {:.1e}", worst[0], worst[1]))
}
