//! The order of the images of an epoch and their augmentation. Both depend only on the seed, the
//! epoch and the place in the order, so that a run can be resumed in the middle of an epoch.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Uniform};
use wgpu_bottleneck::Image;

use super::super::error::CliError;

/// The number of random crops to try before the whole image is used, as in torchvision's
/// `RandomResizedCrop`.
const TRIES: usize = 10;

/// The augmentation of training images.
#[derive(Debug, Clone, Copy)]
pub struct Augmentation {
    /// The smallest and the largest fraction of the area.
    pub area: [f64; 2],
    /// The probability of a flip.
    pub flip: f64,
}

impl Augmentation {
    /// The augmented image at a place in the order of an epoch.
    pub fn apply(
        &self,
        image: Image,
        (seed, epoch, place): (u64, u64, usize),
    ) -> Result<Image, CliError> {
        let mut random = generator(seed, epoch, 1 + place as u64);
        let image = cropped(image, self.area, &mut random)?;
        flipped(image, self.flip, &mut random)
    }
}

/// A random number generator for one purpose (`stream`).
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
pub fn order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
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
        // All of it is all of it, whatever is drawn.
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
