//! `bottleneck plan`: what would run, as text or JSON, without running it.

mod args;
mod shown;
mod subject;

use wgpu_bottleneck::kernel::Capabilities;
use wgpu_bottleneck::{Error, Shape, record, record_network};

pub use self::args::PlanArgs;
use self::shown::Shown;
use super::block_or_network::{self, BlockOrNetwork};
use super::error::CliError;
use super::input_tensor::read_input;
use super::output;

/// The target of a plan without `--adapter`.
const CORE: &str = "WebGPU's core limits (no --adapter given)";

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<(), CliError> {
    let subject = block_or_network::open(&args.source, &args.settings)?;
    let input = match &args.input {
        Some(path) => read_input(path)?.shape(),
        None => Shape::named("--shape", &args.shape).map_err(Error::from)?,
    };
    let adapter = &args.engine.adapter;
    let gpu = adapter.adapter.as_ref().map(|_| adapter.gpu()).transpose()?;
    let (device, capabilities) = match &gpu {
        Some(gpu) => (gpu.describe(), *gpu.capabilities()),
        None => (CORE.to_owned(), Capabilities::CORE),
    };
    let options = args.engine.load_options(gpu.as_ref(), Some(1))?;
    let recording = match &subject {
        BlockOrNetwork::Block(block) => record(&[*block.spec()], input, &capabilities, &options)?,
        BlockOrNetwork::Network(network) => {
            record_network(network.spec(), input, &capabilities, &options)?
        }
    };
    let shown = Shown { subject: &subject, recording: &recording, device: &device };
    if args.json { output::json(&shown.json()) } else { output::print(&shown.text()) }
}
