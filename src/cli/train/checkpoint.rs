//! The checkpoint of a run: parameters, statistics, the state of the optimiser, the position in the
//! data, and the kernels, in one file that is written atomically. PyTorch reads the parameters by
//! their keys.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use wgpu_bottleneck::engine::{BatchMetrics, OptimizerState};
use wgpu_bottleneck::weights::{METADATA, NetworkState, OPTIMIZER};
use wgpu_bottleneck::{NetworkWeights, ResNet, StateDict, Trainer};

use super::super::error::CliError;
use super::super::files::OutputFile;
use super::settings::{EPOCHS, IMAGES, Settings};

/// The format in the file's metadata.
const FORMAT: &str = "wgpu-bottleneck training 1";
/// The format if images have been left out of the current epoch. The number of batches then does
/// not determine the place in the shuffle. Earlier versions refuse this format.
const FORMAT_WITH_PLACE: &str = "wgpu-bottleneck training 2";

/// The position of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Finished epochs.
    pub epoch: u64,
    /// Finished batches of the current epoch.
    pub batch: u64,
    /// The place in the shuffle of the epoch after its last image.
    pub place: u64,
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

impl Sums {
    /// Adds a batch.
    pub fn add(&mut self, batch: &BatchMetrics) {
        self.losses += batch.loss();
        self.right += batch.right();
        self.images += batch.losses.len();
        self.batches += 1;
    }

    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.losses / self.batches.max(1) as f64
    }

    /// The fraction of images that were classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.images.max(1) as f64
    }
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
    /// The number of epochs in the checkpoint, if the settings have a larger number.
    pub raised_from: Option<u64>,
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
    let is_at_batch = position.place == position.batch * images_per_batch(settings);
    say("format", if is_at_batch { FORMAT } else { FORMAT_WITH_PLACE }.to_owned());
    say("epoch", position.epoch.to_string());
    say("batch", position.batch.to_string());
    say("place", position.place.to_string());
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
    file.stage_named(".checkpoint.part".as_ref(), |to| to.write_all(&bytes))?.persist()
}

/// Reads the checkpoint of a run. Its settings must be the same, except that its number of epochs
/// may be smaller. `missing_list` is the path of the run's image list if that file does not exist.
pub fn read(
    path: &Path,
    spec: &ResNet,
    settings: &Settings,
    classes: &[String],
    missing_list: Option<&Path>,
) -> Result<Checkpoint, CliError> {
    let file = Texts { path, dict: StateDict::open(path)? };
    match (file.text("format")?, missing_list) {
        (FORMAT, _) | (FORMAT_WITH_PLACE, None) => {}
        (FORMAT_WITH_PLACE, Some(list)) => {
            let how = "restore that file, or choose another --out";
            return Err(file.refuse(&format!("its images are in {}: {how}", list.display())));
        }
        (found, _) => {
            return Err(file.refuse(&format!(
                "its format is {found:?}, expected {FORMAT:?} or {FORMAT_WITH_PLACE:?}: another \
                version wrote it"
            )));
        }
    }
    let raised_from = file.compare(settings, classes)?;
    let kernels = serde_json::from_str(file.text("kernels")?)
        .map_err(|_| file.refuse("its kernels cannot be read"))?;
    let count = |key: &str| Ok::<_, CliError>(file.number(key)? as usize);
    let sums = Sums {
        losses: f64::from_bits(file.number("losses")?),
        right: count("right")?,
        images: count("pictures")?,
        batches: count("batches")?,
    };
    let dict = &file.dict;
    let mut tensors = Vec::new();
    for key in dict.keys().filter(|key| key.starts_with(OPTIMIZER)) {
        let tensor = dict.tensor(key).map_err(wgpu_bottleneck::Error::from)?;
        tensors.push((key.to_owned(), tensor.dims, tensor.data));
    }
    let batches = file.number("batch")?;
    // Earlier versions left out no images.
    let place = match dict.metadata("place") {
        Some(_) => file.number("place")?,
        None => batches * images_per_batch(settings),
    };
    let position = Position { epoch: file.number("epoch")?, batch: batches, place };
    let weights = NetworkWeights::matching(dict.clone(), spec, Some(""))?;
    Ok(Checkpoint {
        state: NetworkState::read(&weights)?,
        optimizer: OptimizerState { steps: file.number("steps")?, tensors },
        position,
        sums,
        device: file.text("device")?.to_owned(),
        kernels,
        raised_from,
    })
}

/// The texts in the file.
struct Texts<'a> {
    path: &'a Path,
    dict: StateDict,
}

impl Texts<'_> {
    fn refuse(&self, why: &str) -> CliError {
        CliError::Usage(format!("{}: {why}", self.path.display()))
    }

    fn text(&self, key: &str) -> Result<&str, CliError> {
        self.dict.metadata(key).ok_or_else(|| self.refuse("not a checkpoint of `bottleneck train`"))
    }

    fn number(&self, key: &str) -> Result<u64, CliError> {
        let number = self.text(key)?.parse();
        number.map_err(|_| self.refuse(&format!("its {key} is not a number")))
    }

    /// Refuses different settings or classes. Returns the old number of epochs if it was smaller.
    fn compare(&self, settings: &Settings, classes: &[String]) -> Result<Option<u64>, CliError> {
        let mut found: Settings = serde_json::from_str(self.text("settings")?)
            .map_err(|_| self.refuse("its settings cannot be read"))?;
        let epochs = |settings: &Settings| settings.get(EPOCHS)?.parse::<u64>().ok();
        let raised_from = epochs(&found).filter(|before| Some(*before) < epochs(settings));
        if raised_from.is_some() {
            found.extend(
                settings.get_key_value(EPOCHS).map(|(key, now)| (key.clone(), now.clone())),
            );
        }
        let then: Vec<String> = serde_json::from_str(self.text("classes")?)
            .map_err(|_| self.refuse("its classes cannot be read"))?;
        if then != classes {
            let then = then.join(", ");
            return Err(self.refuse(&format!("the checkpoint of a run with other classes: {then}")));
        }
        match first_difference(&found, settings) {
            Some((IMAGES, before, now)) => Err(self.refuse(&format!(
                "the checkpoint of a run with other images ({before}, now {now}): pass the same \
                images with --data, or choose another --out"
            ))),
            Some((name, before, now)) => Err(self.refuse(&format!(
                "the checkpoint of a run with other settings: {name} was {before}, and is {now} now"
            ))),
            None => Ok(raised_from),
        }
    }
}

/// The images of a batch.
fn images_per_batch(settings: &Settings) -> u64 {
    settings.get("batch").and_then(|batch| batch.parse().ok()).unwrap_or_default()
}

/// The first setting that differs, with both values. A setting that is missing on one side has its
/// default there.
fn first_difference<'a>(
    before: &'a Settings,
    now: &'a Settings,
) -> Option<(&'a str, &'a str, &'a str)> {
    let mut names = now.keys().chain(before.keys());
    let name = names.find(|name| now.get(*name) != before.get(*name))?;
    let [before, now] =
        [before, now].map(|all| all.get(name).map_or("the default", String::as_str));
    Some((name, before, now))
}
