//! `bottleneck classify`: the most likely classes of images.
//!
//! Images are decoded ahead on all cores and run in batches. The rows of each batch are printed
//! as soon as the batch is computed.

mod rows;
mod verdict;

use std::path::PathBuf;

use wgpu_bottleneck::weights::Head;
use wgpu_bottleneck::{Image, ImagePipeline};

use self::rows::Rows;
use self::verdict::{Meaning, Verdict, best};
use super::each::{NoVector, each};
use super::error::CliError;
use super::image_files;
use super::image_progress::ImageProgress;
use super::images::{self, Images};
use super::interrupt;
use super::labels::Labels;
use super::network_args::ClassifyArgs;
use super::no_memory::NoMemory;
use super::output;

/// Runs the command.
pub fn run(args: &ClassifyArgs) -> Result<(), CliError> {
    let files = image_files::find(&args.files)?;
    let weights = args.images.network.weights()?;
    args.images.check_pooling(&weights)?;
    let Some(classes) = weights.spec().classes() else {
        let file = args.images.network.source.weights.display();
        let why = no_classes(weights.checkpoint().head());
        return Err(CliError::Usage(format!("{file}: {why}; use `bottleneck embed`")));
    };
    let labels = Labels::of(args.labels.as_deref(), weights.config(), classes)?;
    let meaning = Meaning::of(classes, weights.config());
    let mut pipeline = args.images.load(&weights, Some(files.len()))?;
    interrupt::heed("the current batch");
    let mut rows = match (args.json, args.csv) {
        (true, _) => Rows::json(&labels, meaning)?,
        (_, true) => Rows::csv(&labels, meaning)?,
        _ => Rows::table(&labels, meaning, &files),
    };
    let done = classify(args, &mut pipeline, &files, meaning, &mut rows);
    // Also after an error, so that JSON is complete. The error counts.
    let finished = rows.finish();
    let Done { images, failed, no_memory } = done?;
    finished?;
    let (left, all) = (files.len() - images, output::count(files.len(), "image", "images"));
    if interrupt::asked() && left > 0 {
        return Err(CliError::Interrupted(format!("interrupted, {left} of {all} left")));
    }
    if let Some(error) = no_memory.error(files.len(), "classify them again") {
        return Err(error);
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(CliError::Incomplete(format!("{failed} of {all} failed")))
    }
}

/// Why a head gives no classes.
fn no_classes(head: &Head) -> String {
    const NAMED: usize = 6;
    match head {
        Head::Other(layers) => {
            let names = layers.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
            let more = if layers.len() > NAMED { ", ..." } else { "" };
            format!(
                "its head is not a single linear layer on the pooled features ({}{more})",
                names.join(", ")
            )
        }
        Head::None | Head::Linear { .. } => "the network has no classes".to_owned(),
    }
}

/// How many images were processed, and how many of these failed.
#[derive(Default)]
struct Done {
    images: usize,
    failed: usize,
    no_memory: NoMemory,
}

/// Classifies and prints batch by batch, until the last file or Ctrl-C.
fn classify(
    args: &ClassifyArgs,
    pipeline: &mut ImagePipeline,
    files: &[PathBuf],
    meaning: Meaning,
    rows: &mut Rows<'_>,
) -> Result<Done, CliError> {
    let batch = pipeline.network().input_shape().n;
    let mut progress = ImageProgress::new(files.len());
    let mut decoded = Images::decode(files.to_vec());
    let mut done = Done::default();
    while !interrupt::asked() {
        let batch = decoded.batch(batch);
        if batch.is_empty() {
            break;
        }
        let readable: Vec<&Image> =
            batch.iter().filter_map(|one| one.image.as_ref().ok()).collect();
        let mut of_images = each(pipeline, &readable, &ImagePipeline::logits)?.into_iter();
        let mut verdicts = Vec::with_capacity(batch.len());
        for one in &batch {
            let file = &files[one.index];
            let guesses = match &one.image {
                Ok(_) => match of_images.next() {
                    Some(Ok(logits)) => Ok(best(&logits, args.top as usize, meaning)),
                    Some(Err(NoVector::Image(error))) => Err(error),
                    Some(Err(NoVector::OutOfMemory(error))) => {
                        done.no_memory.add(&image_files::text(file), &error);
                        continue;
                    }
                    None => Err("no logits were computed".to_owned()),
                },
                Err(error) if error.is_out_of_memory() => {
                    let reason = images::without_name(file, error);
                    done.no_memory.add(&image_files::text(file), &reason);
                    continue;
                }
                // The row has the image's name.
                Err(error) => Err(images::without_name(file, error)),
            };
            verdicts.push(Verdict { file: file.clone(), guesses });
        }
        rows.add(&verdicts)?;
        let failed = verdicts.iter().filter(|verdict| verdict.guesses.is_err()).count();
        progress.add(verdicts.len() - failed, failed + batch.len() - verdicts.len());
        (done.images, done.failed) = (done.images + batch.len(), done.failed + failed);
    }
    Ok(done)
}
