//! The checkpoint of a run: parameters, statistics, the state of the optimiser, the position in the
//! data, and the kernels, in one file that is written atomically. PyTorch reads the parameters by
//! their keys.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use wgpu_bottleneck::engine::OptimizerState;
use wgpu_bottleneck::weights::{METADATA, NetworkState, OPTIMIZER};
use wgpu_bottleneck::{NetworkWeights, ResNet, StateDict, Trainer};

use super::super::error::CliError;
use super::super::files::OutputFile;
use super::settings::Settings;

/// The format in the file's metadata.
const FORMAT: &str = "wgpu-bottleneck training 1";

/// The position of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Finished epochs.
    pub epoch: u64,
    /// Finished batches of the current epoch.
    pub batch: u64,
}

/// The sums of an epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// The sum of its batches' losses.
    pub losses: f64,
    /// Images that were classified correctly.
    pub right: usize,
    /// All images.
    pub images: usize,
    /// Batches.
    pub batches: usize,
}

/// All that a resumed run needs.
#[derive(Debug)]
pub struct Checkpoint {
    /// Parameters and statistics.
    pub state: NetworkState,
    /// The state of the optimiser.
    pub optimizer: OptimizerState,
    /// The position of the run.
    pub position: Position,
    /// The sums of the current epoch so far.
    pub sums: Sums,
    /// The device that it ran on.
    pub device: String,
    /// The kernel of each step of the plan.
    pub kernels: Vec<String>,
}

/// A description of the run.
pub struct About<'a> {
    /// The settings that determine its results.
    pub settings: &'a Settings,
    /// The device.
    pub device: &'a str,
    /// The class names.
    pub classes: &'a [String],
    /// The text of config.json.
    pub config: String,
}

/// Writes the checkpoint of a run.
pub fn write(
    file: &OutputFile,
    network: &Trainer,
    (position, sums): (Position, Sums),
    About { settings, device, classes, config }: About<'_>,
) -> Result<(), CliError> {
    let (state, optimizer) = (network.state()?, network.optimizer_state()?);
    let kernels: Vec<String> = network.recording().steps().map(|step| step.kernel.name()).collect();
    let mut texts = BTreeMap::new();
    let mut say = |key: &str, value: String| texts.insert(key.to_owned(), value);
    say("format", FORMAT.to_owned());
    say("epoch", position.epoch.to_string());
    say("batch", position.batch.to_string());
    // Stored as bits, because not every parser reads the same number back from decimals.
    say("losses", sums.losses.to_bits().to_string());
    say("right", sums.right.to_string());
    say("pictures", sums.images.to_string());
    say("batches", sums.batches.to_string());
    say("steps", optimizer.steps.to_string());
    say("settings", serde_json::json!(settings).to_string());
    say("device", device.to_owned());
    say("kernels", serde_json::json!(kernels).to_string());
    say("classes", serde_json::json!(classes).to_string());
    say(METADATA, config);
    let bytes = state.to_safetensors(&optimizer.tensors, &texts)?;
    // A fixed temporary name, so that the file of a killed process is overwritten.
    file.stage_named(".checkpoint.part".as_ref(), |to| to.write_all(&bytes))?.persist()
}

/// Reads the checkpoint of a run, which must have the same settings.
pub fn read(
    path: &Path,
    spec: &ResNet,
    settings: &Settings,
    classes: &[String],
) -> Result<Checkpoint, CliError> {
    let dict = StateDict::open(path)?;
    let refuse = |why: &str| CliError::Usage(format!("{}: {why}", path.display()));
    let text = |key: &str| {
        dict.metadata(key).ok_or_else(|| refuse("not a checkpoint of `bottleneck train`"))
    };
    match text("format")? {
        FORMAT => {}
        found => {
            return Err(refuse(&format!(
                "its format is {found:?}, expected {FORMAT:?}: another version wrote it"
            )));
        }
    }
    let found: Settings = serde_json::from_str(text("settings")?)
        .map_err(|_| refuse("its settings cannot be read"))?;
    if let Some(difference) = first_difference(&found, settings) {
        return Err(refuse(&format!("the checkpoint of a run with other settings: {difference}")));
    }
    let number = |key: &str| {
        text(key)?.parse::<u64>().map_err(|_| refuse(&format!("its {key} is not a number")))
    };
    let kernels =
        serde_json::from_str(text("kernels")?).map_err(|_| refuse("its kernels cannot be read"))?;
    let count = |key: &str| Ok::<_, CliError>(number(key)? as usize);
    let losses = f64::from_bits(number("losses")?);
    let sums = Sums {
        losses,
        right: count("right")?,
        images: count("pictures")?,
        batches: count("batches")?,
    };
    let then: Vec<String> =
        serde_json::from_str(text("classes")?).map_err(|_| refuse("its classes cannot be read"))?;
    if then != classes {
        return Err(refuse(&format!(
            "the checkpoint of a run with other classes: {}",
            then.join(", ")
        )));
    }
    let device = text("device")?.to_owned();
    let mut tensors = Vec::new();
    for key in dict.keys().filter(|key| key.starts_with(OPTIMIZER)) {
        let tensor = dict.tensor(key).map_err(wgpu_bottleneck::Error::from)?;
        tensors.push((key.to_owned(), tensor.dims, tensor.data));
    }
    let (steps, position) =
        (number("steps")?, Position { epoch: number("epoch")?, batch: number("batch")? });
    let weights = NetworkWeights::matching(dict.clone(), spec, Some(""))?;
    let state = NetworkState::read(&weights)?;
    Ok(Checkpoint {
        state,
        optimizer: OptimizerState { steps, tensors },
        position,
        sums,
        device,
        kernels,
    })
}

/// The first setting that differs, with both values. A setting that is missing on one side has its
/// default there.
fn first_difference(before: &Settings, now: &Settings) -> Option<String> {
    let mut names = now.keys().chain(before.keys());
    let name = names.find(|name| now.get(*name) != before.get(*name))?;
    let [before, now] =
        [before, now].map(|all| all.get(name).map_or("the default", String::as_str));
    Some(format!("{name} was {before}, and is {now} now"))
}
