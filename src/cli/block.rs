//! `bottleneck block`: one block, one input, one output file.

use wgpu_bottleneck::tensor::{Comparison, compare};
use wgpu_bottleneck::{BlockChain, HostTensor, network};

use super::block_args::BlockArgs;
use super::error::CliError;
use super::input_tensor::read_input;
use super::output::{self, count};

/// Runs the command.
pub fn run(args: &BlockArgs) -> Result<(), CliError> {
    let output = args.check_output()?;
    let block = args.spec.block()?;
    let input = read_input(&args.input)?;
    // Errors of the files are reported before the device is opened, so also without a GPU.
    network::plan_block(block.spec(), input.shape(), args.spec.engine.plan_kind())
        .map_err(CliError::in_file(&args.input))?;
    let gpu = args.spec.engine.adapter.gpu_with_kept_pipelines()?;
    let options = args.spec.engine.load_options(Some(&gpu), Some(1))?;
    let mut model = BlockChain::load(&gpu, &[block], input.shape(), &options)?;
    let out = model.run(&input)?;
    let checked = if args.verify { Some(verify(&model, &input, &out)?) } else { None };
    output.write([("out", &out.shape().dims()[..], out.data())])?;
    output::progress(&summary(&gpu.describe(), &model, &input, &out, checked.as_ref()));
    Ok(())
}

/// Compares the result with the reference.
fn verify(
    model: &BlockChain,
    input: &HostTensor,
    out: &HostTensor,
) -> Result<Comparison, CliError> {
    let comparison = compare(&model.reference(input)?, out, model.tolerance());
    if comparison.passed() { Ok(comparison) } else { Err(CliError::Wrong(comparison.to_string())) }
}

/// One line about the run.
fn summary(
    adapter: &str,
    model: &BlockChain,
    input: &HostTensor,
    out: &HostTensor,
    checked: Option<&Comparison>,
) -> String {
    let recording = model.recording();
    let steps = count(recording.plan.steps.len(), "step", "steps");
    let dispatches = count(recording.dispatch_count(), "dispatch", "dispatches");
    let buffers = count(recording.segments.len(), "command buffer", "command buffers");
    let verdict = match checked {
        Some(comparison) => {
            format!("; verified: {comparison}, tolerance {:.1e}", comparison.tolerance.relative)
        }
        None => String::new(),
    };
    let (input, out) = (input.shape(), out.shape());
    format!("{adapter}: {input} -> {out} in {steps}, {dispatches}, {buffers}{verdict}")
}
