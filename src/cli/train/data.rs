//! The images of a run: found once, and decoded, cropped, flipped and resized ahead of the device,
//! batch by batch.
//!
//! The images of a batch and their augmentation depend only on the seed, the epoch and the position
//! in it, so that a run can be resumed in the middle of an epoch.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Uniform};
use rayon::prelude::*;
use wgpu_bottleneck::{HostTensor, Image, Preprocess};

use super::super::error::CliError;
use super::super::images;

/// Batches that are prepared ahead of the device.
const AHEAD: usize = 2;
/// How often a crop of a random shape is tried, as in torchvision's `RandomResizedCrop`, before the
/// whole image is used.
const TRIES: usize = 10;

/// Images and their classes.
#[derive(Debug, Clone)]
pub struct Data {
    /// The classes' names, sorted.
    pub classes: Vec<String>,
    /// Each image and its class.
    pub images: Vec<(PathBuf, usize)>,
}

impl Data {
    /// Finds a folder per class, with every image below it.
    pub fn find(folder: &Path) -> Result<Self, CliError> {
        let io = |source| CliError::io(folder, source);
        let mut classes = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().is_dir() {
                classes.push(name);
            }
        }
        classes.sort();
        if classes.len() < 2 {
            let (folder, found) = (folder.display(), classes.len());
            return Err(CliError::Usage(format!(
                "{folder}: expected a folder for each of at least two classes, found {found}"
            )));
        }
        let mut all = Vec::new();
        for (class, name) in classes.iter().enumerate() {
            all.extend(images::find(&[folder.join(name)])?.into_iter().map(|path| (path, class)));
        }
        Ok(Self { classes, images: all })
    }

    /// The names of the images within the folder, in order.
    pub fn names(&self, folder: &Path) -> Vec<String> {
        let name = |(path, _): &(PathBuf, usize)| {
            path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned()
        };
        self.images.iter().map(name).collect()
    }
}

/// The augmentation of training images.
#[derive(Debug, Clone, Copy)]
pub struct Augmentation {
    /// The smallest and the largest part of the area.
    pub area: [f64; 2],
    /// The probability of a flip.
    pub flip: f64,
}

/// A batch, ready for the device.
#[derive(Debug)]
pub struct Batch {
    /// NCHW, normalised.
    pub images: HostTensor,
    /// The class of each image.
    pub classes: Vec<usize>,
}

/// The batches of an epoch from a given position on, prepared by another thread.
#[derive(Debug)]
pub struct Batches {
    receiver: Option<Receiver<Result<Batch, CliError>>>,
    worker: Option<JoinHandle<()>>,
}

impl Batches {
    /// Begins to prepare them.
    pub fn begin(
        data: &Data,
        preprocess: Preprocess,
        augmentation: Augmentation,
        size: usize,
        (seed, epoch, from): (u64, u64, usize),
    ) -> Self {
        let order = order(data.images.len(), seed, epoch);
        let images: Vec<(PathBuf, usize)> =
            order.iter().map(|&at| data.images[at].clone()).collect();
        let (sender, receiver) = sync_channel(AHEAD);
        let worker = std::thread::spawn(move || {
            for (index, part) in images.chunks_exact(size).enumerate().skip(from) {
                let one = |(at, (path, class)): (usize, &(PathBuf, usize))| {
                    let mut random = generator(seed, epoch, 1 + (index * size + at) as u64);
                    let image = opened(path)?;
                    let image = flipped(
                        cropped(image, augmentation.area, &mut random)?,
                        augmentation.flip,
                        &mut random,
                    )?;
                    Ok((preprocess.tensor(&[image])?, *class))
                };
                let made: Result<Vec<(HostTensor, usize)>, CliError> =
                    part.par_iter().enumerate().map(one).collect();
                // The receiver is gone if the run has ended.
                if sender.send(made.and_then(joined)).is_err() {
                    return;
                }
            }
        });
        Self { receiver: Some(receiver), worker: Some(worker) }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.as_ref()?.recv().ok()
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without a receiver the worker ends.
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            // The receiver of the batches reports a missing batch.
            let _ = worker.join();
        }
    }
}

/// Opens an image file; a panic of the decoder is an error.
fn opened(path: &Path) -> Result<Image, CliError> {
    Ok(images::caught(path, || Image::open(path))?)
}

/// Images without augmentation, in order, for validation.
pub fn plain(part: &[(PathBuf, usize)], preprocess: &Preprocess) -> Result<Batch, CliError> {
    let one = |(path, class): &(PathBuf, usize)| Ok((preprocess.tensor(&[opened(path)?])?, *class));
    part.par_iter().map(one).collect::<Result<Vec<_>, CliError>>().and_then(joined)
}

fn joined(parts: Vec<(HostTensor, usize)>) -> Result<Batch, CliError> {
    let mut parts = parts.into_iter();
    let Some((mut images, class)) = parts.next() else {
        return Err(CliError::Usage("a batch without images".to_owned()));
    };
    let mut classes = vec![class];
    for (image, class) in parts {
        images.append(&image).map_err(wgpu_bottleneck::Error::from)?;
        classes.push(class);
    }
    Ok(Batch { images, classes })
}

/// Random numbers for one use.
fn generator(seed: u64, epoch: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    random.set_stream(stream);
    random
}

/// A number in `low..=high`.
fn uniform(random: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    Uniform::new_inclusive(low, high).map_or(low, |uniform| uniform.sample(random))
}

/// A number in `0..=most`.
fn below_or(random: &mut ChaCha8Rng, most: usize) -> usize {
    Uniform::new_inclusive(0, most).map_or(0, |uniform| uniform.sample(random))
}

/// The order of an epoch: a shuffle by Fisher and Yates.
fn order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = generator(seed, epoch, 0);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, below_or(&mut random, last));
    }
    order
}

/// A part of an image with a random area and a shape from 3:4 to 4:3, as in torchvision's
/// `RandomResizedCrop`.
fn cropped(
    image: Image,
    [least, most]: [f64; 2],
    random: &mut ChaCha8Rng,
) -> Result<Image, CliError> {
    let (width, height) = (image.width(), image.height());
    for _ in 0..TRIES {
        let area = f64::from(width) * f64::from(height) * uniform(random, least, most);
        let ratio = uniform(random, (3.0f64 / 4.0).ln(), (4.0f64 / 3.0).ln()).exp();
        let [w, h] = [(area * ratio).sqrt(), (area / ratio).sqrt()].map(|side| side.round() as u32);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let [left, top] =
                [width - w, height - h].map(|most| below_or(random, most as usize) as u32);
            return part(&image, [left, top], [w, h]);
        }
    }
    Ok(image)
}

fn part(
    image: &Image,
    [left, top]: [u32; 2],
    [width, height]: [u32; 2],
) -> Result<Image, CliError> {
    let line = |y: u32| {
        let from = (y as usize * image.width() as usize + left as usize) * 3;
        &image.data()[from..][..width as usize * 3]
    };
    let data = (top..top + height).flat_map(line).copied().collect();
    Ok(Image::new(width, height, data).map_err(wgpu_bottleneck::Error::from)?)
}

/// The image, mirrored with this probability.
fn flipped(image: Image, likelihood: f64, random: &mut ChaCha8Rng) -> Result<Image, CliError> {
    if uniform(random, 0.0, 1.0) >= likelihood && likelihood < 1.0 {
        return Ok(image);
    }
    let (width, height) = (image.width(), image.height());
    let pixels: Vec<[u8; 3]> =
        image.data().chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let data = pixels
        .chunks_exact(width as usize)
        .flat_map(|line| line.iter().rev())
        .flatten()
        .copied()
        .collect();
    Ok(Image::new(width, height, data).map_err(wgpu_bottleneck::Error::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), CliError>;

    fn numbered() -> Result<Image, CliError> {
        Ok(Image::from_fn(7, 5, |x, y| [x as u8, y as u8, 9])
            .map_err(wgpu_bottleneck::Error::from)?)
    }

    #[test]
    fn orders_are_said_by_seed_and_epoch() {
        let first = order(1000, 3, 5);
        assert_eq!(first, order(1000, 3, 5));
        assert!(first != order(1000, 3, 6) && first != order(1000, 4, 5));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn parts_lie_within_the_image() -> Outcome {
        let mut sizes = std::collections::BTreeSet::new();
        for stream in 0..200 {
            let found = cropped(numbered()?, [0.08, 1.0], &mut generator(1, 2, stream))?;
            let (left, top) = (found.data()[0], found.data()[1]);
            for y in 0..found.height() {
                for x in 0..found.width() {
                    assert_eq!(found.pixel(x, y), Some([left + x as u8, top + y as u8, 9]));
                }
            }
            sizes.insert((found.width(), found.height()));
        }
        assert!(sizes.len() > 5, "{sizes:?}");
        // A crop of the whole area is the whole image, whatever the random numbers.
        let square = Image::from_fn(6, 6, |x, y| [x as u8, y as u8, 0])
            .map_err(wgpu_bottleneck::Error::from)?;
        assert_eq!(cropped(square.clone(), [1.0, 1.0], &mut generator(0, 0, 0))?, square);
        Ok(())
    }

    #[test]
    fn a_mirror_shows_it_from_right_to_left() -> Outcome {
        let image = numbered()?;
        let mirrored = flipped(image.clone(), 1.1, &mut generator(0, 0, 0))?;
        assert_eq!(mirrored.pixel(0, 2), image.pixel(6, 2));
        assert_eq!(mirrored.pixel(6, 4), image.pixel(0, 4));
        assert_eq!(flipped(image.clone(), 0.0, &mut generator(0, 0, 0))?, image);
        Ok(())
    }
}
