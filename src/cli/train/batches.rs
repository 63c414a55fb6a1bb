//! The batches of an epoch, prepared ahead of the device by another thread: decoded, cropped,
//! flipped and resized.
//!
//! All batches have the same number of images. An image that cannot be decoded is left out, and the
//! next image takes its place. The epoch ends when the remaining images are too few for a step. All
//! images of a step are decoded before its first batch is returned, because a step cannot be undone
//! after some of its batches have run.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;
use wgpu_bottleneck::{HostTensor, Image, Preprocess};

use super::super::error::CliError;
use super::super::images;
use super::augment::{self, Augmentation};
use super::list::{Failure, Part, Since};

/// The number of batches that are prepared ahead of the device.
const AHEAD: usize = 2;

/// A batch, ready for the device.
#[derive(Debug)]
pub struct Batch {
    /// NCHW, normalised.
    pub images: HostTensor,
    /// The class of each image.
    pub classes: Vec<usize>,
    /// The place in the order of the epoch after its last image.
    pub end: usize,
}

/// The next event of an epoch.
#[derive(Debug)]
pub enum Made {
    /// Images that are left out before the next step.
    Failed(Vec<Failure>),
    /// A batch.
    Batch(Batch),
    /// The epoch has ended: the remaining images are too few for a step.
    End,
}

/// The settings for making batches of images.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub preprocess: Preprocess,
    pub augmentation: Augmentation,
    /// Images per batch.
    pub batch: usize,
    /// Batches per step.
    pub accumulate: usize,
    pub seed: u64,
}

/// The batches of an epoch from a given place on.
#[derive(Debug)]
pub struct Batches {
    receiver: Option<Receiver<Result<Made, CliError>>>,
    worker: Option<JoinHandle<()>>,
}

impl Batches {
    /// Starts to prepare the batches.
    pub fn begin(part: &Part, recipe: Recipe, from: Since) -> Self {
        let (sender, receiver) = sync_channel(AHEAD);
        let mut maker = Maker::new(part.clone(), recipe, from);
        let worker = std::thread::spawn(move || {
            // Nobody takes any more where the run has ended.
            while maker.step(&sender).is_some_and(|sent| sent) {}
        });
        Self { receiver: Some(receiver), worker: Some(worker) }
    }
}

impl Iterator for Batches {
    type Item = Result<Made, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.as_ref()?.recv().ok()
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without a receiver the worker ends.
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            // A batch that does not come is an error where it is waited for.
            let _ = worker.join();
        }
    }
}

/// Makes the batches.
struct Maker {
    part: Part,
    recipe: Recipe,
    epoch: u64,
    /// The images in the order of the epoch.
    order: Vec<usize>,
    /// The next place in the order.
    next: usize,
    /// The number of images from this place on that have not been left out.
    left: usize,
}

/// An image of a step: its tensor, its class and its place in the order.
type Ready = (HostTensor, usize, usize);

impl Maker {
    fn new(part: Part, recipe: Recipe, from: Since) -> Self {
        let order = augment::order(part.images.len(), recipe.seed, from.epoch);
        let next = from.place as usize;
        let mut maker = Self { part, recipe, epoch: from.epoch, order, next, left: 0 };
        maker.left = (next..maker.order.len()).filter(|&place| !maker.is_left_out(place)).count();
        maker
    }

    fn is_left_out(&self, place: usize) -> bool {
        self.part.is_left_out(self.order[place], self.since(place))
    }

    fn since(&self, place: usize) -> Since {
        Since { epoch: self.epoch, place: place as u64 }
    }

    /// Makes the batches of a step. `None` at the end of the epoch; false if the receiver is gone.
    fn step(&mut self, sender: &SyncSender<Result<Made, CliError>>) -> Option<bool> {
        let Recipe { batch, accumulate, .. } = self.recipe;
        let (ready, failed) = match self.decode(batch * accumulate) {
            Ok(decoded) => decoded,
            Err(error) => {
                // The run may have ended.
                let _ = sender.send(Err(error));
                return None;
            }
        };
        if !failed.is_empty() && sender.send(Ok(Made::Failed(failed))).is_err() {
            return Some(false);
        }
        if ready.len() < batch * accumulate {
            // The run may have ended.
            let _ = sender.send(Ok(Made::End));
            return None;
        }
        let mut ready = ready.into_iter();
        for _ in 0..accumulate {
            let made = joined(ready.by_ref().take(batch).collect());
            if sender.send(made.map(Made::Batch)).is_err() {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Decodes the next images. Returns the decoded images and the images that failed. If fewer
    /// than `wanted` images are left, it returns fewer and may not decode all of them.
    fn decode(&mut self, wanted: usize) -> Result<(Vec<Ready>, Vec<Failure>), CliError> {
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        while ready.len() < wanted && ready.len() + self.left >= wanted {
            let places = self.take(wanted - ready.len());
            let made: Vec<_> = places.into_par_iter().map(|place| self.one(place)).collect();
            for one in made {
                let one = one?;
                match one {
                    Ok(one) => ready.push(one),
                    Err(failure) => failed.push(failure),
                }
            }
        }
        Ok((ready, failed))
    }

    /// The next places, at most this many, whose images are not left out.
    fn take(&mut self, most: usize) -> Vec<usize> {
        let mut places = Vec::new();
        while places.len() < most && self.next < self.order.len() {
            if !self.is_left_out(self.next) {
                places.push(self.next);
            }
            self.next += 1;
        }
        self.left -= places.len();
        places
    }

    /// The image at a place, or why it is left out.
    fn one(&self, place: usize) -> Result<Result<Ready, Failure>, CliError> {
        let image = self.order[place];
        let path = self.part.path(image);
        let Recipe { preprocess, augmentation, seed, .. } = self.recipe;
        let made = opened(&path)
            .and_then(|image| augmentation.apply(image, (seed, self.epoch, place)))
            .and_then(|image| Ok(preprocess.tensor(&[image])?));
        let made = or_reason(&path, made)?;
        Ok(made
            .map(|tensor| (tensor, self.part.images[image].1, place))
            .map_err(|reason| Failure { image, since: self.since(place), reason }))
    }
}

/// Opens an image file.
pub fn opened(path: &Path) -> Result<Image, CliError> {
    Ok(Image::open(path)?)
}

/// What was made of an image, or why the image is left out. A lack of memory is not the image's own
/// error, and leaving the image out would change the training: it ends the run.
pub fn or_reason<T>(path: &Path, made: Result<T, CliError>) -> Result<Result<T, String>, CliError> {
    match made {
        Err(error) if error.is_out_of_memory() => Err(error),
        made => Ok(made.map_err(|error| images::without_name(path, &error))),
    }
}

/// Images as one batch.
pub fn joined(parts: Vec<Ready>) -> Result<Batch, CliError> {
    let mut parts = parts.into_iter();
    let Some((mut images, class, place)) = parts.next() else {
        return Err(CliError::Usage("a batch without images".to_owned()));
    };
    let (mut classes, mut end) = (vec![class], place + 1);
    for (image, class, place) in parts {
        images.append(&image).map_err(wgpu_bottleneck::Error::from)?;
        classes.push(class);
        end = place + 1;
    }
    Ok(Batch { images, classes, end })
}
