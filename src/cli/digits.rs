//! The demonstration's last part: the network that ships, trained by `bottleneck train`, on digits that it never saw.

use wgpu_bottleneck::{CheckpointOptions, Error, LoadOptions, Network, NetworkWeights, Picture, StateDict};

use super::error::CliError;
use super::forced::Forced;
use super::output::{self, Table};

/// What `scripts/train-digits` wrote.
const NETWORK: &[u8] = include_bytes!("demo/digits.safetensors");
/// A digit of each kind that it was not trained on, side by side, out of `examples/digits/digits.png`.
const DIGITS: &[u8] = include_bytes!("demo/digits.png");

/// Pixels of a digit's side.
const SIDE: u32 = 8;

/// Runs the part. Returns how many digits the network took for others.
pub fn run(kernels: &Forced<'_>) -> Result<usize, CliError> {
    output::heading("A network that ships: handwritten digits that it never saw")?;
    let sheet = Picture::from_bytes(DIGITS).map_err(Error::from)?;
    let digit = |at: u32| Picture::from_fn(SIDE, SIDE, |x, y| sheet.pixel(at * SIDE + x, y).unwrap_or_default());
    let digits = (0..sheet.width() / SIDE).map(digit).collect::<Result<Vec<_>, _>>().map_err(Error::from)?;
    let weights = NetworkWeights::detect(StateDict::from_bytes(NETWORK.to_vec())?, &CheckpointOptions::default())?;
    // The metadata contain the preprocessing.
    let input = weights.preprocess()?.tensor(&digits)?;
    let gpu = kernels.gpu();
    let load = |kernels| Network::load(gpu, &weights, input.shape(), &LoadOptions { kernels, ..Default::default() });
    let mut network = kernels.load_by(load)?;
    let logits = network.logits(&input)?;
    let mut table = Table::new(&["it shows", ">it is taken for", ">likelihood"]);
    let mut wrong = 0;
    for (shows, scores) in logits.data().chunks_exact(logits.shape().c).enumerate() {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
        let says = scores.iter().position(|&score| score == largest).unwrap_or(scores.len());
        wrong += usize::from(says != shows);
        table.row([shows.into(), says.into(), format!("{:.1} %", 100.0 / sum).into()]);
    }
    output::print(&table.render())?;
    let (spec, parameters) = (weights.spec(), weights.spec().parameters());
    output::print(&format!("  ({spec}, {parameters} parameters, trained by scripts/train-digits)\n"))?;
    Ok(wrong)
}
