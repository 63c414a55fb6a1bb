//! Reads the files of a training run for fuzz targets.

use std::path::Path;

use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::{ResNet, StateDict};

use super::checkpoint::{self, Checkpoint};
use super::list::{ImageList, Part};
use super::position::Extent;
use super::settings::{EPOCHS, Settings};
use crate::cli::error::CliError;

/// The extent of the runs that the corpus is from: `training` in fuzz/corpus.py.
const EXTENT: Extent = Extent { epochs: 2, images: 42, batch: 8, accumulate: 1 };

/// The contents of a checkpoint of a network of one block, as texts. The expected settings and
/// classes are read from the file itself, so that most damaged files pass this comparison and
/// reach the later checks.
pub fn checkpoint(path: &Path) -> Result<Vec<String>, CliError> {
    let spec = ResNet::builder(BlockKind::Bottleneck)
        .depths(vec![1])
        .planes(vec![1])
        .stem_planes(1)
        .classes(Some(3))
        .build()
        .map_err(wgpu_bottleneck::Error::from)?;
    let dict = StateDict::open(path)?;
    let text = |key: &str| dict.metadata(key).unwrap_or_default();
    let mut settings: Settings = serde_json::from_str(text("settings")).unwrap_or_default();
    let classes: Vec<String> = serde_json::from_str(text("classes")).unwrap_or_default();
    let found = checkpoint::read(path, &spec, (&settings, EXTENT), &classes, None)?;
    settings.insert(EPOCHS.to_owned(), "3".to_owned());
    let raised = Extent { epochs: 3, ..EXTENT };
    let raised = checkpoint::read(path, &spec, (&settings, raised), &classes, Some(path));
    let Checkpoint { state, optimizer, position, sums, device, kernels, raised_from: _ } = found;
    let tensors = state.to_safetensors(&optimizer.tensors, &Default::default())?;
    let texts = (settings, classes, raised.ok().map(|found| found.raised_from));
    let numbers = (position, sums.losses.to_bits(), sums, optimizer.steps);
    let tensors = crc32fast::hash(&tensors);
    Ok(vec![format!("{numbers:?} {texts:?} {device:?} {kernels:?} {tensors:08x}")])
}

/// The contents of an image list, as texts.
pub fn image_list(path: &Path) -> Result<Vec<String>, CliError> {
    let ImageList { classes, training, validation } = ImageList::read(path)?;
    let mut texts = vec![format!("{classes:?}, validation: {}", validation.is_some())];
    for (kind, part) in [Some(training), validation].into_iter().flatten().enumerate() {
        let used = part.used();
        assert_eq!(part.failed().count(), part.images.len() - used + part.unreadable.len());
        let Part { folder, origin, images, unreadable, left_out } = part;
        texts.push(format!("{kind}: {folder:?} {origin:?} {images:?} {unreadable:?}"));
        texts.extend(left_out.into_iter().map(|out| format!("{kind}: without {out:?}")));
    }
    Ok(texts)
}
