//! `bottleneck run`: one network, one input file, one output file.

use std::path::PathBuf;

use wgpu_bottleneck::network;
use wgpu_bottleneck::tensor::{Comparison, compare};
use wgpu_bottleneck::{HostTensor, Network, NetworkWeights, Shape};

use super::error::CliError;
use super::files::OutputFile;
use super::input_tensor::read_input;
use super::network_args::RunArgs;
use super::output::{self, count};

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<(), CliError> {
    let inputs: Vec<PathBuf> =
        args.network.inputs()?.into_iter().chain([args.input.clone()]).collect();
    let output =
        OutputFile::check(&args.output, &inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let weights = args.network.weights()?;
    let input = read_input(&args.input)?;
    let shape = Shape {
        n: args.batch.map_or(input.shape().n, |batch| input.shape().n.min(batch as usize)),
        ..input.shape()
    };
    // Errors of the files are reported before the device is opened, so also without a GPU.
    network::plan_network(weights.spec(), shape, args.network.engine.plan_kind())
        .map_err(CliError::in_file(&args.input))?;
    let gpu = args.network.engine.adapter.gpu_with_kept_pipelines()?;
    let runs = u32::try_from(input.shape().n.div_ceil(shape.n.max(1))).ok();
    let options = args.network.engine.load_options(Some(&gpu), runs)?;
    let mut network = Network::load(&gpu, &weights, shape, &options)?;
    args.network.tell_memory(&network);
    let mut tensors = network.run(&input)?;
    let checked =
        if args.verify { Some(verify(&network, &weights, &input, &tensors)?) } else { None };
    match weights.checkpoint().pooling_exponent() {
        None if args.features => {}
        None => _ = tensors.drain(..tensors.len() - 1),
        // The maps are right, the mean of the last one is not the network's pooling.
        Some(_) if args.features => tensors.retain(|(name, _)| !is_vector(name)),
        Some(key) => {
            return Err(CliError::Usage(format!(
                "{key} is a learned pooling exponent (GeM), which is not supported; --features \
                writes the feature maps"
            )));
        }
    }
    let dims: Vec<Vec<usize>> = tensors.iter().map(|(name, tensor)| dims(name, tensor)).collect();
    output.write(
        tensors
            .iter()
            .zip(&dims)
            .map(|((name, tensor), dims)| (&name[..], &dims[..], tensor.data())),
    )?;
    output::progress(&summary(&gpu.describe(), &network, &weights, &input, checked.as_ref()));
    Ok(())
}

/// Feature maps are NCHW, vectors `[batch, channels]`, as in PyTorch.
fn dims(name: &str, tensor: &HostTensor) -> Vec<usize> {
    let dims = tensor.shape().dims();
    dims[..if is_vector(name) { 2 } else { 4 }].to_vec()
}

fn is_vector(name: &str) -> bool {
    matches!(name, "pooled" | "logits")
}

/// Compares every tensor with the reference's. Returns the worst comparison.
fn verify(
    network: &Network,
    weights: &NetworkWeights,
    input: &HostTensor,
    found: &[(String, HostTensor)],
) -> Result<Comparison, CliError> {
    let mut worst: Option<Comparison> = None;
    for ((name, expected), (_, found)) in network.reference(weights, input)?.iter().zip(found) {
        let comparison = compare(expected, found, network.tolerance());
        if !comparison.passed() {
            return Err(CliError::Wrong(format!("{name}: {comparison}")));
        }
        if worst.as_ref().is_none_or(|worst| comparison.relative_error() > worst.relative_error()) {
            worst = Some(comparison);
        }
    }
    worst.ok_or_else(|| CliError::Wrong("there is nothing to compare".to_owned()))
}

/// One line about the run.
fn summary(
    adapter: &str,
    network: &Network,
    weights: &NetworkWeights,
    input: &HostTensor,
    checked: Option<&Comparison>,
) -> String {
    let recording = network.recording();
    let (spec, input) = (weights.spec(), input.shape());
    let dispatches = count(recording.dispatch_count(), "dispatch", "dispatches");
    let buffers = count(recording.segments.len(), "command buffer", "command buffers");
    let runs = count(input.n.div_ceil(network.input_shape().n), "run", "runs");
    let verdict = match checked {
        Some(worst) => {
            format!("; verified, worst: {worst}, tolerance {:.1e}", worst.tolerance.relative)
        }
        None => String::new(),
    };
    format!("{adapter}: {spec}: {input} in {runs} of {dispatches}, {buffers}{verdict}")
}
