//! `bottleneck train`: trains a network on folders of images, from its initialisation or from a
//! file, on any GPU.
//!
//! A run can be killed at any moment and resumed from its checkpoint. The result is bit-identical
//! to an uninterrupted run: the seed and the position determine the contents of a batch, and the
//! checkpoint records the kernels.

mod args;
mod augment;
mod batches;
mod checkpoint;
mod checksum;
mod curves;
mod files;
mod folders;
#[cfg(fuzz_targets)]
pub mod fuzzed;
mod init;
mod left_out;
mod list;
mod lock;
mod log;
mod path_text;
mod position;
mod settings;
mod sources;
mod validation;

pub use args::TrainArgs;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use wgpu_bottleneck::engine::Schedule;
use wgpu_bottleneck::network::{TrainingOptions, plan_network_training};
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::weights::{Initialization, METADATA, NetworkState};
use wgpu_bottleneck::{Gpu, LoadOptions, ModelConfig, Preprocess, ResNet, Shape, Trainer};

use self::augment::Augmentation;
use self::batches::{Batches, Made, Recipe};
use self::checkpoint::About;
use self::files::{CHECKPOINT, Files, IMAGES, refuse_used};
use self::init::{Init, initial};
use self::left_out::Kept;
use self::list::{Failure, Kind, Since};
use self::lock::{Lock, create_and_lock};
use self::log::Epoch;
use self::position::{Extent, Position, Sums};
use self::settings::Settings;
use self::sources::Sources;
use super::batch_advice;
use super::error::CliError;
use super::interrupt;
use super::output::{self, count};
use super::progress_bar::Bar;

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<(), CliError> {
    args.check()?;
    let lock = Lock::of(&args.out)?;
    refuse_used(&args.out, args.resume)?;
    let has_checkpoint = args.out.join(CHECKPOINT).is_file();
    let sources = Sources::open(args, &args.out.join(IMAGES), has_checkpoint)?;
    sources.check(args)?;
    let init = args.init()?;
    let classes = sources.list.classes.len();
    let (spec, options) = (args.spec(classes, init.as_ref())?, args.options());
    let preprocess = args.preprocess(init.as_ref())?;
    let shape = preprocess.shape(args.batch as usize).map_err(wgpu_bottleneck::Error::from)?;
    plan_network_training(&spec, shape, &options)?;
    let lock = lock.map_or_else(|| create_and_lock(&args.out), |lock| Ok(Some(lock)))?;
    let files = Files::check(&args.out)?;
    interrupt::heed("the current batch");
    let mut training = Run::begin(args, init, (spec, options, preprocess), shape, sources, files)?;
    let done = training.epochs(args);
    drop(lock);
    done
}

/// A run in progress.
struct Run {
    gpu: Gpu,
    network: Trainer,
    /// The preprocessing of validation and inference.
    preprocess: Preprocess,
    /// The text of config.json, with the same preprocessing.
    config: String,
    /// The images.
    kept: Kept,
    extent: Extent,
    position: Position,
    /// The position of the last checkpoint.
    saved: Position,
    /// The sums of the current epoch so far.
    sums: Sums,
    settings: Settings,
    schedule: Schedule,
    log: Vec<Epoch>,
    /// The index of the first epoch in the log that is considered for best.safetensors.
    best_from: usize,
}

impl Run {
    /// Begins from the checkpoint, from a weights file, or from the initialisation.
    #[expect(clippy::too_many_lines, reason = "one job from start to end")]
    fn begin(
        args: &TrainArgs,
        init: Option<Init>,
        (spec, options, preprocess): (ResNet, TrainingOptions, Preprocess),
        shape: Shape,
        sources: Sources,
        files: Files,
    ) -> Result<Self, CliError> {
        let settings = args.settings(&spec, &preprocess, &sources.list.training);
        // Includes images that are left out.
        let extent = args.extent(sources.list.training.images.len());
        let saved = if files.checkpoint.is_present() {
            let missing_list = (!sources.is_kept).then(|| files.images.path());
            let (path, classes) = (files.checkpoint.path(), &sources.list.classes);
            Some(checkpoint::read(path, &spec, (&settings, extent), classes, missing_list)?)
        } else {
            None
        };
        let state = match (&saved, &init) {
            (Some(saved), _) => saved.state.clone(),
            (None, Some(init)) => initial(init, &spec, &sources.list.classes, args.seed)?,
            (None, None) => {
                let how =
                    Initialization { seed: args.seed, zero_init_residual: args.zero_init_residual };
                NetworkState::try_initial(&spec, how)?
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
        let mut network =
            Trainer::load(&gpu, &state, shape, &options, &loading).map_err(|error| {
                batch_advice::for_training(error, (state.spec(), &gpu), shape, &options, &loading)
            })?;
        let schedule = args.schedule(extent.steps_per_epoch());
        let (mut position, mut sums, mut log) = (Position::default(), Sums::default(), Vec::new());
        if let Some(saved) = &saved {
            network.restore(&saved.optimizer)?;
            (position, sums) = (saved.position, saved.sums);
            log = log::read(files.log.path(), position.epoch)?;
        }
        let mut kept = Kept::begin(sources.list.clone(), sources.is_kept, &files)?;
        let since = Since { epoch: position.epoch, place: position.place };
        for kind in [Kind::Training, Kind::Validation] {
            kept.leave_out(kind, sources.failures(kind, since), args.strict, &files)?;
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
        // A fresh device if the driver does not compile a kernel.
        let gpu = network.executor().gpu().clone();
        let (spec, device) = (state.spec(), gpu.describe());
        let images = count(kept.list.training.used(), "image", "images");
        let classes = kept.list.classes.len();
        output::progress(&format!(
            "{device}: {spec}, {} parameters; {images} of {classes} classes, {memory:.0} MiB of \
            device memory",
            spec.parameters()
        ));
        if let Some(saved) = &saved {
            let Position { epoch, batch, .. } = position;
            output::progress(&format!("resuming from epoch {}, batch {batch}", epoch + 1));
            if let Some(before) = saved.raised_from {
                output::progress(&format!(
                    "--epochs is {} and was {before}: from step {} on, the schedule of \
                    learning rates has {0} epochs; the result will differ from an uninterrupted \
                    run's",
                    args.epochs,
                    saved.optimizer.steps + 1
                ));
            }
        }
        let config = ModelConfig::of_network(spec).with_preprocess(preprocess, "bottleneck train");
        let config =
            config.with_class_names(kept.list.classes.clone(), "bottleneck train").to_json(spec)?;
        let best_from = if files.best.is_present() { 0 } else { log.len() };
        Ok(Self {
            gpu,
            network,
            preprocess,
            config,
            kept,
            extent,
            position,
            saved: position,
            sums,
            settings,
            schedule,
            log,
            best_from,
        })
    }

    /// Runs the remaining epochs.
    fn epochs(&mut self, args: &TrainArgs) -> Result<(), CliError> {
        let (epochs, batches) = (self.extent.epochs, self.extent.batches_per_epoch());
        let bar = Bar::new((epochs * batches) as usize);
        while self.position.epoch < epochs {
            let images_per_second = self.epoch(args, &bar, batches)?;
            let sums = std::mem::take(&mut self.sums);
            self.position = Position { epoch: self.position.epoch + 1, batch: 0, place: 0 };
            let files = Files::check(&args.out)?;
            let (validation_loss, validation_accuracy) = self.validate(args, &files)?.unzip();
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
            output::progress(&log::summary(&epoch, epochs));
            self.log.push(epoch);
            if self.best().is_some_and(|best| best.epoch == self.position.epoch) {
                let bytes = self.weights()?;
                let write = |to: &mut std::fs::File| to.write_all(&bytes);
                files.best.stage_named(".best.part".as_ref(), write)?.persist()?;
            }
            log::write(&files.log, &self.log)?;
            files.curves.write_bytes(curves::draw(&self.log).as_bytes())?;
            self.save(&files)?;
        }
        drop(bar);
        let files = Files::check(&args.out)?;
        files.config.write_bytes(self.config.as_bytes())?;
        files.model.write_bytes(&self.weights()?)?;
        self.kept.tell(&files);
        if let Some(best) = self.best() {
            output::progress(&format!("{}: epoch {}", files.best_name(), best.epoch));
        }
        output::progress(&format!("wrote {}", files.model.path().display()));
        Ok(())
    }

    /// The best of the epochs that are considered for best.safetensors.
    fn best(&self) -> Option<&Epoch> {
        log::best(self.log.get(self.best_from..)?)
    }

    /// The network with its configuration, as a file.
    fn weights(&self) -> Result<Vec<u8>, CliError> {
        // One key only: the order of several keys is not deterministic.
        let texts = BTreeMap::from([(METADATA.to_owned(), self.config.clone())]);
        Ok(self.network.state()?.to_safetensors(&[], &texts)?)
    }

    /// Runs the rest of an epoch. Returns the images per second.
    fn epoch(&mut self, args: &TrainArgs, bar: &Bar, batches: u64) -> Result<f64, CliError> {
        let Position { epoch, place, .. } = self.position;
        let recipe = Recipe {
            preprocess: self.preprocess,
            augmentation: Augmentation { area: [args.crop[0], args.crop[1]], flip: args.flip },
            batch: args.batch as usize,
            accumulate: args.accumulate as usize,
            seed: args.seed,
        };
        let all = Batches::begin(&self.kept.list.training, recipe, Since { epoch, place });
        let (begun, before) = (Instant::now(), self.sums.images);
        let speed = |now: u64| (now - before) as f64 / begun.elapsed().as_secs_f64().max(1e-9);
        let mut is_whole = false;
        for made in all {
            let made = match made? {
                Made::Batch(made) => made,
                Made::Failed(failures) => {
                    self.leave_out(args, failures)?;
                    continue;
                }
                Made::End => {
                    is_whole = true;
                    break;
                }
            };
            let rate = self.schedule.rate(self.network.steps());
            let trained = self.network.step(&made.images, &made.classes, rate)?;
            self.sums.add(&trained);
            let sums = self.sums;
            self.position.batch += 1;
            self.position.place = made.end as u64;
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
            if whole_step && (due || interrupt::asked()) {
                self.save(&Files::check(&args.out)?)?;
            }
            if whole_step && interrupt::asked() {
                return Err(CliError::Interrupted(
                    "stopped; --resume continues from there".to_owned(),
                ));
            }
        }
        self.end(args, is_whole)?;
        Ok(speed(self.sums.images))
    }

    /// Ends an epoch with a checkpoint.
    fn end(&mut self, args: &TrainArgs, is_whole: bool) -> Result<(), CliError> {
        if !is_whole {
            return Err(CliError::Incomplete("the batches ended before the epoch did".to_owned()));
        }
        let files = Files::check(&args.out)?;
        if self.position.batch == 0 {
            let left = count(self.kept.list.training.used(), "image is", "images are");
            let (needed, failed) = (args.batch * args.accumulate, files.failed_name());
            return Err(CliError::Usage(format!(
                "{left} left, fewer than the {needed} of one step; the others are in {failed}"
            )));
        }
        if self.saved == self.position { Ok(()) } else { self.save(&files) }
    }

    /// Leaves out images of the next step.
    fn leave_out(&mut self, args: &TrainArgs, failures: Vec<Failure>) -> Result<(), CliError> {
        let files = Files::check(&args.out)?;
        if args.strict && self.saved != self.position {
            self.save(&files)?;
        }
        self.kept.leave_out(Kind::Training, failures, args.strict, &files)
    }

    /// Writes the checkpoint.
    fn save(&mut self, files: &Files) -> Result<(), CliError> {
        let about = About {
            settings: &self.settings,
            device: &self.gpu.describe(),
            classes: &self.kept.list.classes,
            config: self.config.clone(),
        };
        checkpoint::write(&files.checkpoint, &self.network, (self.position, self.sums), about)?;
        self.saved = self.position;
        Ok(())
    }

    /// The mean loss and the accuracy on the validation images, if there are any.
    fn validate(
        &mut self,
        args: &TrainArgs,
        files: &Files,
    ) -> Result<Option<(f64, f64)>, CliError> {
        let Some(part) = self.kept.list.validation.as_ref().filter(|_| args.validation.is_some())
        else {
            return Ok(None);
        };
        let (state, how) = (self.network.state()?, (self.preprocess, args.batch as usize));
        let measured = validation::measure(&self.gpu, &state, how, part, self.position.epoch)?;
        self.kept.leave_out(Kind::Validation, measured.failed, args.strict, files)?;
        if measured.result.is_none() {
            output::progress("warning: no validation image is left");
        }
        Ok(measured.result)
    }
}
