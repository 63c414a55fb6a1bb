//! `bottleneck block --train`: one batch through one block in training mode, forward and backward.

use wgpu_bottleneck::error::ShapeError;
use wgpu_bottleneck::{
    BlockTrainer, Error, HostTensor, StateDict, TrainingOptions, TrainingStep, network,
};

use super::block_args::{BlockArgs, Momentum};
use super::error::CliError;
use super::files::{OutputFile, Values};
use super::input_tensor::read_input;
use super::output::{self, count};
use super::step_check::{self, Checked};

/// Runs the command.
pub fn run(args: &BlockArgs) -> Result<(), CliError> {
    let output = args.check_output()?;
    let block = args.spec.block_state()?;
    let input = read_input(&args.input)?;
    let plan = network::plan_block_training(&block.spec, input.shape())
        .map_err(CliError::in_file(&args.input))?;
    let shape = plan.plan.tensor(plan.out).shape;
    let file = StateDict::open(&args.input)?;
    let given = file.dims("grad_out").is_some();
    let grad_out = if given {
        file.nchw("grad_out").map_err(CliError::in_file(&args.input))?
    } else {
        HostTensor::try_zeros(shape).map_err(|error| Error::from(error.of_tensor("grad_out")))?
    };
    if grad_out.shape() != shape {
        let (expected, found) = (shape.dims().to_vec(), grad_out.shape().dims().to_vec());
        let wrong = ShapeError::Mismatch { tensor: "grad_out".to_owned(), expected, found };
        return Err(CliError::in_file(&args.input)(wrong.into()));
    }
    let gpu = args.spec.engine.adapter.gpu_with_kept_pipelines()?;
    let loading = args.spec.engine.load_options(Some(&gpu), Some(1))?;
    let Momentum(momentum) = args.momentum.unwrap_or_default();
    let training = TrainingOptions { bn_momentum: momentum, ..TrainingOptions::default() };
    let mut block = BlockTrainer::load(&gpu, block, input.shape(), &training, &loading)?;
    let expected = if args.verify { Some(block.reference(&input, &grad_out)?) } else { None };
    let step = block.step(&input, &grad_out)?;
    let verdict =
        expected.map(|expected| verify(&expected, &step)).transpose()?.unwrap_or_default();
    write(&output, &step, given)?;
    let recording = block.recording();
    let steps = count(recording.plan.steps.len(), "step", "steps");
    let buffers = count(recording.segments.len(), "command buffer", "command buffers");
    let (adapter, input, out) = (gpu.describe(), input.shape(), step.out.shape());
    output::progress(&format!(
        "{adapter}: {input} -> {out} and back in {steps}, {buffers}{verdict}"
    ));
    Ok(())
}

/// Writes the output and the statistics; with a gradient of the output, also every gradient.
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
        tensors.push((
            "grad.input".to_owned(),
            input.shape().dims().to_vec(),
            Values::F32(input.data()),
        ));
        for (key, dims, values) in &step.gradients.parameters {
            tensors.push((format!("grad.{key}"), dims.clone(), Values::F32(values)));
        }
    }
    output.write_values(
        tensors.iter().map(|(key, dims, values)| (key.as_str(), dims.as_slice(), *values)),
    )
}

/// Compares a step with the reference's.
fn verify(expected: &TrainingStep, found: &TrainingStep) -> Result<String, CliError> {
    let mut worst = [0.0_f64; 2];
    for Checked { part, name, comparison } in
        step_check::check(expected, found).map_err(Error::from)?
    {
        if !comparison.passed() {
            return Err(CliError::Wrong(format!("{name}: {comparison}")));
        }
        let worst = &mut worst[usize::from(part.is_backward())];
        *worst = worst.max(comparison.relative_error());
    }
    Ok(format!("; verified: forward off {:.1e}, gradients {:.1e}", worst[0], worst[1]))
}
