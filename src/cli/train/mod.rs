//! `bottleneck train`: trains a network on folders of images, from its initialisation or from a
//! file, on any GPU.
//!
//! A run can be killed at any moment and resumed from its checkpoint. The result is bit-identical
//! to an uninterrupted run: the seed and the position determine the contents of a batch, and the
//! checkpoint records the kernels.

mod args;
mod checkpoint;
mod curves;
mod data;
mod files;
mod init;
mod log;
mod settings;

pub use args::TrainArgs;

use std::collections::BTreeMap;
use std::time::Instant;

use wgpu_bottleneck::engine::{BatchMetrics, Schedule};
use wgpu_bottleneck::network::{TrainingOptions, plan_network_training};
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::weights::{Initialization, METADATA, NetworkState};
use wgpu_bottleneck::{
    Gpu, LoadOptions, ModelConfig, Network, NetworkWeights, Preprocess, ResNet, Shape, StateDict,
    Trainer,
};

use self::checkpoint::{About, Position, Sums};
use self::data::{Augmentation, Batches, Data};
use self::files::Files;
use self::init::{Init, initial};
use self::log::Epoch;
use self::settings::Settings;
use super::error::CliError;
use super::interrupt;
use super::output::{self, count};
use super::progress_bar::Bar;

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<(), CliError> {
    args.check()?;
    let data = Data::find(&args.data)?;
    let validation = args.validation.as_deref().map(Data::find).transpose()?;
    if let (Some(other), Some(folder)) = (&validation, &args.validation)
        && other.classes != data.classes
    {
        let folder = folder.display();
        return Err(CliError::Usage(format!("{folder}: its classes are not those of --data")));
    }
    let batch = args.batch as usize;
    if data.images.len() < batch * args.accumulate as usize {
        let (found, needed) = (data.images.len(), batch * args.accumulate as usize);
        let found = count(found, "image", "images");
        return Err(CliError::Usage(format!("found {found}, fewer than the {needed} of one step")));
    }
    let init = args.init()?;
    let (spec, options) = (args.spec(data.classes.len(), init.as_ref())?, args.options());
    let preprocess = args.preprocess(init.as_ref())?;
    let shape = preprocess.shape(batch).map_err(wgpu_bottleneck::Error::from)?;
    plan_network_training(&spec, shape, &options)?;
    let files = Files::begin(&args.out)?;
    interrupt::heed("the current batch");
    let mut training = Run::begin(args, init, (spec, options, preprocess), shape, data, files)?;
    training.epochs(args, validation.as_ref())
}

/// A run in progress.
struct Run {
    gpu: Gpu,
    network: Trainer,
    /// The preprocessing of validation and inference.
    preprocess: Preprocess,
    /// The text of config.json, with the same preprocessing.
    config: String,
    data: Data,
    position: Position,
    /// The sums of the current epoch so far.
    sums: Sums,
    settings: Settings,
    schedule: Schedule,
    log: Vec<Epoch>,
}

impl Sums {
    fn add(&mut self, batch: &BatchMetrics) {
        self.losses += batch.loss();
        self.right += batch.right();
        self.images += batch.losses.len();
        self.batches += 1;
    }

    fn loss(&self) -> f64 {
        self.losses / self.batches.max(1) as f64
    }

    fn accuracy(&self) -> f64 {
        self.right as f64 / self.images.max(1) as f64
    }
}

impl Run {
    /// Begins from the checkpoint, from a weights file, or from the initialisation.
    #[expect(clippy::too_many_lines, reason = "one job from start to end")]
    fn begin(
        args: &TrainArgs,
        init: Option<Init>,
        (spec, options, preprocess): (ResNet, TrainingOptions, Preprocess),
        shape: Shape,
        data: Data,
        files: Files,
    ) -> Result<Self, CliError> {
        let settings = args.settings(&spec, &preprocess, &data.names(&args.data));
        let saved = match (files.checkpoint.is_present(), args.resume) {
            (true, true) => {
                Some(checkpoint::read(files.checkpoint.path(), &spec, &settings, &data.classes)?)
            }
            (true, false) => {
                let path = files.checkpoint.path().display();
                return Err(CliError::Usage(format!(
                    "{path} already exists: --resume continues from it"
                )));
            }
            (false, _) => None,
        };
        let state = match (&saved, &init) {
            (Some(saved), _) => saved.state.clone(),
            (None, Some(init)) => initial(init, &spec, &data.classes, args.seed)?,
            (None, None) => {
                let how =
                    Initialization { seed: args.seed, zero_init_residual: args.zero_init_residual };
                NetworkState::initial(&spec, how)
            }
        };
        let gpu = args.engine.adapter.gpu_with_kept_pipelines()?;
        if let Some(device) =
            saved.as_ref().map(|saved| &saved.device).filter(|device| **device != gpu.describe())
        {
            output::progress(&format!(
                "warning: the checkpoint is from {device}: last bits may differ from now on"
            ));
        }
        let mut loading = args.engine.load_options(Some(&gpu), None)?;
        if let Some(saved) = &saved {
            loading =
                LoadOptions { kernels: KernelChoice::Recorded(saved.kernels.clone()), ..loading };
        }
        let mut network = Trainer::load(&gpu, &state, shape, &options, &loading)?;
        let steps_per_epoch = data.images.len() / (args.batch * args.accumulate) as usize;
        let schedule = args.schedule(steps_per_epoch as u64);
        let (mut position, mut sums, mut log) = (Position::default(), Sums::default(), Vec::new());
        if let Some(saved) = &saved {
            network.restore(&saved.optimizer)?;
            (position, sums) = (saved.position, saved.sums);
            log = log::read(files.log.path(), position.epoch)?;
        }
        if let (Some(init), None) = (&init, &saved) {
            let same = init.weights.spec().classes() == state.spec().classes();
            let head = if same { "" } else { "; the linear layer is reinitialised" };
            output::progress(&format!(
                "starting from {}: {}{head}",
                init.file.display(),
                init.weights.spec()
            ));
        }
        output::progress(&format!("preprocessing of validation and inference: {preprocess}"));
        let memory = network.memory().total() as f64 / f64::from(1 << 20);
        let (spec, device) = (state.spec(), gpu.describe());
        let images = count(data.images.len(), "image", "images");
        let classes = data.classes.len();
        output::progress(&format!(
            "{device}: {spec}, {} parameters; {images} of {classes} classes, {memory:.0} MiB of \
            device memory",
            spec.parameters()
        ));
        if saved.is_some() {
            let Position { epoch, batch } = position;
            output::progress(&format!("resuming from epoch {}, batch {batch}", epoch + 1));
        }
        let config = ModelConfig::of_network(spec).with_preprocess(preprocess, "bottleneck train");
        let config =
            config.with_class_names(data.classes.clone(), "bottleneck train").to_json(spec)?;
        Ok(Self { gpu, network, preprocess, config, data, position, sums, settings, schedule, log })
    }

    /// Runs the remaining epochs.
    fn epochs(&mut self, args: &TrainArgs, validation: Option<&Data>) -> Result<(), CliError> {
        let (epochs, batches) = (u64::from(args.epochs), self.batches_per_epoch(args));
        let bar = Bar::new((epochs * batches) as usize);
        while self.position.epoch < epochs {
            let images_per_second = self.epoch(args, &bar, batches)?;
            let sums = std::mem::take(&mut self.sums);
            self.position = Position { epoch: self.position.epoch + 1, batch: 0 };
            let (validation_loss, validation_accuracy) = match validation {
                Some(data) => self
                    .validate(args, data)
                    .map(|(loss, accuracy)| (Some(loss), Some(accuracy)))?,
                None => (None, None),
            };
            let last = self.network.steps().saturating_sub(1);
            let epoch = Epoch {
                epoch: self.position.epoch,
                steps: self.network.steps(),
                rate: self.schedule.rate(last),
                loss: sums.loss(),
                accuracy: sums.accuracy(),
                validation_loss,
                validation_accuracy,
                images_per_second,
            };
            output::progress(&summary(&epoch, epochs));
            self.log.push(epoch);
            let files = Files::check(&args.out)?;
            log::write(&files.log, &self.log)?;
            files.curves.write_bytes(curves::draw(&self.log).as_bytes())?;
            self.save(&files)?;
        }
        drop(bar);
        let files = Files::check(&args.out)?;
        // One key only: the order of several keys is not deterministic.
        let texts = BTreeMap::from([(METADATA.to_owned(), self.config.clone())]);
        files.config.write_bytes(self.config.as_bytes())?;
        files.model.write_bytes(&self.network.state()?.to_safetensors(&[], &texts)?)?;
        output::progress(&format!("wrote {}", files.model.path().display()));
        Ok(())
    }

    /// Batches of an epoch, a whole number of steps.
    fn batches_per_epoch(&self, args: &TrainArgs) -> u64 {
        let per_step = (args.batch * args.accumulate) as usize;
        (self.data.images.len() / per_step * args.accumulate as usize) as u64
    }

    /// Runs the rest of an epoch. Returns the images per second.
    fn epoch(&mut self, args: &TrainArgs, bar: &Bar, batches: u64) -> Result<f64, CliError> {
        let augmentation = Augmentation { area: [args.crop[0], args.crop[1]], flip: args.flip };
        let Position { epoch, batch } = self.position;
        let place = (args.seed, epoch, batch as usize);
        let all =
            Batches::begin(&self.data, self.preprocess, augmentation, args.batch as usize, place);
        let (begun, before) = (Instant::now(), self.sums.images);
        let speed = |now: usize| (now - before) as f64 / begun.elapsed().as_secs_f64().max(1e-9);
        for made in all.take((batches - batch) as usize) {
            let made = made?;
            let rate = self.schedule.rate(self.network.steps());
            let trained = self.network.step(&made.images, &made.classes, rate)?;
            self.sums.add(&trained);
            let sums = self.sums;
            self.position.batch += 1;
            bar.done((epoch * batches + self.position.batch) as usize);
            bar.set(&format!(
                "epoch {}: loss {:.4}, {:.1} % right, {:.1} images/s",
                epoch + 1,
                sums.loss(),
                100.0 * sums.accuracy(),
                speed(sums.images)
            ));
            let whole_step = self.position.batch.is_multiple_of(u64::from(args.accumulate));
            let due = self.network.steps().is_multiple_of(u64::from(args.checkpoint_every));
            if whole_step && (due || interrupt::asked() || self.position.batch == batches) {
                self.save(&Files::check(&args.out)?)?;
            }
            if whole_step && interrupt::asked() {
                return Err(CliError::Interrupted(
                    "stopped; --resume continues from there".to_owned(),
                ));
            }
        }
        if self.position.batch < batches {
            return Err(CliError::Incomplete("the batches ended before the epoch".to_owned()));
        }
        Ok(speed(self.sums.images))
    }

    /// Writes the checkpoint.
    fn save(&self, files: &Files) -> Result<(), CliError> {
        let about = About {
            settings: &self.settings,
            device: &self.gpu.describe(),
            classes: &self.data.classes,
            config: self.config.clone(),
        };
        checkpoint::write(&files.checkpoint, &self.network, (self.position, self.sums), about)
    }

    /// The mean loss and the accuracy on the validation images, with the norms folded as in eval
    /// mode.
    fn validate(&self, args: &TrainArgs, data: &Data) -> Result<(f64, f64), CliError> {
        let state = self.network.state()?;
        let dict = StateDict::from_bytes(state.to_safetensors(&[], &BTreeMap::new())?)?;
        let weights = NetworkWeights::matching(dict, state.spec(), Some(""))?;
        let preprocess = self.preprocess;
        let batch = (args.batch as usize).min(data.images.len());
        let shape = preprocess.shape(batch).map_err(wgpu_bottleneck::Error::from)?;
        let mut network = Network::load(&self.gpu, &weights, shape, &LoadOptions::default())?;
        let (mut losses, mut right) = (0.0, 0);
        for part in data.images.chunks(batch) {
            let made = data::plain(part, &preprocess)?;
            let logits = network.logits(&made.images)?;
            for (scores, &class) in logits.data().chunks_exact(logits.shape().c).zip(&made.classes)
            {
                let (loss, first) = judged(scores, class);
                losses += loss;
                right += usize::from(first);
            }
        }
        let images = data.images.len() as f64;
        Ok((losses / images, right as f64 / images))
    }
}

/// The cross entropy of scores, and whether the class ranks first.
fn judged(scores: &[f32], class: usize) -> (f64, bool) {
    let score = |at: usize| f64::from(scores[at]);
    let largest = (0..scores.len()).map(score).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = (0..scores.len()).map(|at| (score(at) - largest).exp()).sum();
    let before = |at: usize| score(at) > score(class) || score(at) == score(class) && at < class;
    (largest + sum.ln() - score(class), !(0..scores.len()).any(before))
}

/// One line about an epoch.
fn summary(epoch: &Epoch, epochs: u64) -> String {
    let Epoch { epoch: number, rate, loss, accuracy, images_per_second, .. } = epoch;
    let validation = match (epoch.validation_loss, epoch.validation_accuracy) {
        (Some(loss), Some(accuracy)) => {
            format!("; validation loss {loss:.4}, {:.2} % right", 100.0 * accuracy)
        }
        _ => String::new(),
    };
    format!(
        "epoch {number} of {epochs}: rate {rate:.4}, loss {loss:.4}, {:.2} % right{validation}; \
        {images_per_second:.1} images/s",
        100.0 * accuracy
    )
}
