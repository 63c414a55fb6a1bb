//! The settings of a run in its checkpoint.

use std::collections::BTreeMap;

use wgpu_bottleneck::image::{Filter, IMAGENET_MEAN, IMAGENET_STD};
use wgpu_bottleneck::{Preprocess, ResNet};

use super::args::{DecayArg, TrainArgs};
use super::list::Part;
use super::position::Extent;
use crate::cli::setting_texts;

/// The settings that determine the results of a run, by name.
pub type Settings = BTreeMap<String, String>;

/// The key of the number of epochs, which may be raised.
pub const EPOCHS: &str = "epochs";
/// The key of the number and checksum of the images.
pub const IMAGES: &str = "pictures";

impl TrainArgs {
    /// The settings that determine the results of a run. A checkpoint with other settings cannot be
    /// resumed.
    pub fn settings(&self, spec: &ResNet, preprocess: &Preprocess, images: &Part) -> Settings {
        let mut settings = Settings::new();
        let mut say = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
        // Settings that were added later are recorded only if they differ from the default.
        let dilations = match (spec.dilations(), spec.multi_grid()) {
            (dilations, grid)
                if dilations.iter().all(|dilation| *dilation == 1) && grid.is_empty() =>
            {
                String::new()
            }
            (dilations, grid) => format!(
                ", dilations {}, multi grid {}",
                setting_texts::list(&dilations),
                setting_texts::list(&grid)
            ),
        };
        let (norm, stride_in) =
            (setting_texts::norm(spec.norm()), setting_texts::stride_in(spec.stride_in()));
        say("network", format!("{spec}, {norm}, {stride_in}{dilations}"));
        let Preprocess { filter, mean, std, .. } = preprocess;
        if (*filter, *mean, *std) != (Filter::Bilinear, IMAGENET_MEAN, IMAGENET_STD) {
            say(
                "preprocessing",
                format!(
                    "{}, mean {}, std {}",
                    setting_texts::filter(*filter),
                    setting_texts::list(mean),
                    setting_texts::list(std)
                ),
            );
        }
        say("setup", setting_texts::training(&self.options()));
        let decay = match self.decay {
            DecayArg::Constant => "Constant",
            DecayArg::Cosine => "Cosine",
            DecayArg::Step => "Step",
        };
        say("decay", format!("{decay}, every {}, factor {}", self.every, self.factor));
        say(IMAGES, format!("{} of checksum {:08x}", images.images.len(), checksum(images)));
        say(EPOCHS, self.epochs.to_string());
        say("batch", self.batch.to_string());
        say("lr", self.lr.to_string());
        say("warmup", self.warmup.to_string());
        say("momentum", self.momentum.to_string());
        say("size", preprocess.crop[0].to_string());
        say("crop", setting_texts::list(&self.crop));
        say("flip", self.flip.to_string());
        say("seed", self.seed.to_string());
        settings
    }

    /// The extent of a run on a list of this many images.
    pub fn extent(&self, images: usize) -> Extent {
        Extent {
            epochs: self.epochs.into(),
            images: images as u64,
            batch: self.batch.into(),
            accumulate: self.accumulate.into(),
        }
    }
}

/// The checksum of the names of all images in the list, in order.
fn checksum(part: &Part) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (path, _) in part.images.iter() {
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize()
}
