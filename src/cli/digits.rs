//! The default run's last part: the network that ships with the program, trained by `bottleneck
//! train`, on held-out digits.

use wgpu_bottleneck::{
    CheckpointOptions, Error, Image, LoadOptions, Network, NetworkWeights, StateDict,
};

use super::error::CliError;
use super::forced::Forced;
use super::output::{self, Table};

/// The output of `scripts/train-digits`.
const NETWORK: &[u8] = include_bytes!("demo/digits.safetensors");
/// One held-out digit of each class, side by side, from `examples/digits/digits.png`.
const DIGITS: &[u8] = include_bytes!("demo/digits.png");

/// The side of a digit in pixels.
const SIDE: u32 = 8;

/// Runs the part. Returns the number of misclassified digits.
pub fn run(kernels: &Forced<'_>) -> Result<usize, CliError> {
    output::heading("The network that ships with the program: held-out handwritten digits")?;
    let sheet = Image::from_bytes(DIGITS).map_err(Error::from)?;
    let digit = |at: u32| {
        Image::from_fn(SIDE, SIDE, |x, y| sheet.pixel(at * SIDE + x, y).unwrap_or_default())
    };
    let digits =
        (0..sheet.width() / SIDE).map(digit).collect::<Result<Vec<_>, _>>().map_err(Error::from)?;
    let weights = NetworkWeights::detect(
        StateDict::from_bytes(NETWORK.to_vec())?,
        &CheckpointOptions::default(),
    )?;
    // The metadata contain the preprocessing.
    let input = weights.preprocess()?.tensor(&digits)?;
    let gpu = kernels.gpu();
    let load = |kernels| {
        Network::load(gpu, &weights, input.shape(), &LoadOptions { kernels, ..Default::default() })
    };
    let mut network = kernels.load_by(load)?;
    let logits = network.logits(&input)?;
    let mut table = Table::new(&["digit", ">predicted", ">probability"]);
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
    output::print(&format!(
        "  ({spec}, {parameters} parameters, trained by scripts/train-digits)\n"
    ))?;
    Ok(wrong)
}
