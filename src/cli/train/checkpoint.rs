//! The checkpoint of a run: parameters, statistics, the state of the optimiser, the position in the
//! data, and the kernels, in one file that is written atomically. PyTorch reads the parameters by
//! their keys.
//!
//! The file has a checksum of all its bytes. Its numbers must be possible for the run.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use wgpu_bottleneck::engine::OptimizerState;
use wgpu_bottleneck::weights::{METADATA, NetworkState, OPTIMIZER};
use wgpu_bottleneck::{NetworkWeights, ResNet, StateDict, Trainer};

use super::super::error::CliError;
use super::super::files::OutputFile;
use super::super::output;
use super::checksum;
use super::position::{Extent, OutOfRange, Position, Sums};
use super::settings::{EPOCHS, IMAGES, Settings};

/// The format in the file's metadata.
const FORMAT: &str = "wgpu-bottleneck training 1";
/// The format if images have been left out of the current epoch. The number of batches then does
/// not determine the place in the shuffle. Earlier versions refuse this format.
const FORMAT_WITH_PLACE: &str = "wgpu-bottleneck training 2";

/// The keys of the metadata of a checkpoint without a checksum. A checkpoint whose checksum has a
/// damaged key contains another key.
const KEYS: [&str; 14] = [
    "format", "epoch", "batch", "place", "losses", "right", "pictures", "batches", "steps",
    "settings", "device", "kernels", "classes", METADATA,
];

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
    let is_at_batch = position.place == sums.images;
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
    say(checksum::KEY, checksum::UNKNOWN.to_owned());
    let mut bytes = state.to_safetensors(&optimizer.tensors, &texts)?;
    checksum::write(&mut bytes).map_err(|source| CliError::io(file.path(), source))?;
    file.stage_named(".checkpoint.part".as_ref(), |to| to.write_all(&bytes))?.persist()
}

/// Reads the checkpoint of a run of this extent. Its settings must be the same, except that its
/// number of epochs may be smaller. `missing_list` is the path of the run's image list if that file
/// does not exist.
pub fn read(
    path: &Path,
    spec: &ResNet,
    (settings, extent): (&Settings, Extent),
    classes: &[String],
    missing_list: Option<&Path>,
) -> Result<Checkpoint, CliError> {
    let file = Texts { path, dict: StateDict::open(path)? };
    let keys = file.checked_keys()?;
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
    file.check_keys(&keys)?;
    let raised_from = file.compare(settings, classes)?;
    let kernels = serde_json::from_str(file.text("kernels")?)
        .map_err(|_| file.refuse("its kernels cannot be read"))?;
    let sums = Sums {
        losses: f64::from_bits(file.number("losses")?),
        right: file.number("right")?,
        images: file.number("pictures")?,
        batches: file.number("batches")?,
    };
    let (batch, steps) = (file.number("batch")?, file.number("steps")?);
    // Earlier versions left out no images.
    let place = match file.dict.metadata("place") {
        Some(_) => file.number("place")?,
        None => batch.saturating_mul(extent.batch),
    };
    let position = Position { epoch: file.number("epoch")?, batch, place };
    let extent = Extent { epochs: raised_from.unwrap_or(extent.epochs), ..extent };
    extent
        .check(position, sums, steps)
        .map_err(|OutOfRange { name, found, expected }| file.damaged(name, found, expected))?;
    let dict = &file.dict;
    let mut tensors = Vec::new();
    for key in dict.keys().filter(|key| key.starts_with(OPTIMIZER)) {
        let tensor = dict.tensor(key).map_err(wgpu_bottleneck::Error::from)?;
        tensors.push((key.to_owned(), tensor.dims, tensor.data));
    }
    let weights = NetworkWeights::matching(dict.clone(), spec, Some(""))?;
    Ok(Checkpoint {
        state: NetworkState::read(&weights)?,
        optimizer: OptimizerState { steps, tensors },
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
        CliError::Usage(format!("{}: {}", self.path.display(), output::shown(why)))
    }

    /// The error for a text or number that no run writes.
    fn damaged(&self, name: &str, found: String, expected: String) -> CliError {
        let (path, name) = (self.path.to_owned(), name.to_owned());
        let found = output::shown(&found).into_owned();
        CliError::DamagedCheckpoint { path, name, found, expected }
    }

    /// Checks the checksum. Returns the keys of the metadata if the file has none.
    fn checked_keys(&self) -> Result<Vec<String>, CliError> {
        match checksum::check(self.path).map_err(|source| CliError::io(self.path, source))? {
            checksum::Found::Right => Ok(Vec::new()),
            checksum::Found::Wrong { found, expected } => {
                Err(self.damaged("checksum", found, expected))
            }
            checksum::Found::Missing { keys } => Ok(keys),
        }
    }

    /// Refuses unknown keys in a checkpoint without a checksum.
    fn check_keys(&self, keys: &[String]) -> Result<(), CliError> {
        match keys.iter().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(self.damaged("metadata key", key.clone(), KEYS.join(", "))),
            None => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Result<&str, CliError> {
        self.dict.metadata(key).ok_or_else(|| self.refuse("not a checkpoint of `bottleneck train`"))
    }

    fn number(&self, key: &str) -> Result<u64, CliError> {
        let text = self.text(key)?;
        let damaged = |_| self.damaged(key, text.to_owned(), "a whole number".to_owned());
        text.parse().map_err(damaged)
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
