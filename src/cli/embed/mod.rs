//! `bottleneck embed`: one vector for each of thousands of images, even if the process is killed in
//! between.
//!
//! Images are decoded ahead on all cores and run in batches. Their rows go to the [`journal`], and
//! at the end to the [output](mod@format), in the order of the files.

mod args;
mod files;
mod fingerprint;
mod format;
mod journal;
mod npy;
mod parquet;
mod progress;
mod rows;
mod safetensors;
mod shard;
mod stored_rows;
mod vectors;

pub use args::EmbedArgs;
#[cfg(fuzz_targets)]
pub use journal::fuzzed::journal as fuzzed_journal;

use std::io;
use std::path::PathBuf;

use wgpu_bottleneck::{Image, ImagePipeline, NetworkWeights, Source};

use self::files::Files;
use self::fingerprint::Fingerprint;
use self::format::Output;
use self::journal::{Journal, Place};
use self::progress::Progress;
use self::rows::{Row, Rows, Stamp};
use self::vectors::Vectors;
use super::each::{NoVector, each};
use super::error::CliError;
use super::images::{self, Decoded, Images};
use super::interrupt;
use super::no_memory::NoMemory;
use super::output::{self, count};

/// The most failed images that the last line names.
const NAMED_AT_THE_END: usize = 3;
/// Rows that are copied into the journal at once.
const COPIED: usize = 256;

/// Runs the command.
pub fn run(args: &EmbedArgs) -> Result<(), CliError> {
    interrupt::heed("the current batch");
    let inputs = args.inputs()?;
    let output =
        Output::check(&args.out, &inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let files = Files::find(&args.paths, &output.files(), args.shard)?;
    output.check_names(&files.names)?;
    let weights = args.images.network.weights()?;
    if args.layer.is_none() {
        args.images.check_pooling(&weights)?;
    }
    let preprocess = args.images.preprocess(&weights)?;
    let vectors = Vectors::of(args, &weights, &preprocess)?;
    let precision = args.images.network.engine.precision;
    let about = Fingerprint::new(
        &args.images.network.file()?,
        &weights,
        &preprocess,
        precision,
        args.shard,
        &vectors,
        args.images.network.source.key.as_deref(),
    )?;
    let mut journal = Journal::open(output.journal(), &about, args.resumes())?;
    if !journal.has_begun() {
        take_over(args, &output, &about, &mut journal)?;
    }
    tell_of_earlier(&files, &journal)?;
    tell_of_changed(&files, &journal);
    let done = embed(args, &weights, &vectors, &files, &mut journal).and_then(|work| {
        journal.hold();
        finish(&output, &about, &files, &journal, work)
    });
    if done.is_err() && journal.is_kept() {
        let (path, rows) =
            (journal.path().display(), count(journal.names().count(), "row", "rows"));
        output::progress(&format!("{path} contains {rows}: --resume continues from there"));
    }
    let summary = done?;
    journal.finish();
    summary.tell(&output)
}

/// Begins a journal with the rows of the output, if the run resumes.
fn take_over(
    args: &EmbedArgs,
    output: &Output,
    about: &Fingerprint,
    journal: &mut Journal,
) -> Result<(), CliError> {
    if args.resumes() && output.is_present() {
        let mut waiting = Vec::new();
        output.read(about, |row| {
            waiting.push(row);
            if waiting.len() < COPIED { Ok(()) } else { journal.add(&std::mem::take(&mut waiting)) }
        })?;
        journal.add(&waiting)?;
    } else if args.retry_failed {
        let out = output.name.display();
        return Err(CliError::Usage(format!(
            "{out}: neither this file nor its journal exists: nothing to try again"
        )));
    }
    journal.begin()
}

/// Reports how many rows exist already, and how many will be left out because their files are no
/// longer named.
fn tell_of_earlier(files: &Files, journal: &Journal) -> Result<(), CliError> {
    let rows = journal.names().count();
    let kept = files.names.iter().filter(|name| journal.place(name).is_some()).count();
    let others = count(rows - kept, "row", "rows");
    if kept == 0 && rows > 0 {
        let example = journal.names().min().unwrap_or_default();
        let why =
            "named here; name the files in the same way as before, or omit --resume to start again";
        return Err(CliError::Usage(format!(
            "found {others}, such as that of {example}, but none belongs to a file {why}"
        )));
    }
    if kept > 0 {
        let all = count(files.names.len(), "image", "images");
        output::progress(&format!("{kept} of {all} already processed"));
    }
    if kept < rows {
        output::progress(&format!(
            "{others} of files that are not named any more will be left out"
        ));
    }
    Ok(())
}

/// Whether the file has changed since the row was computed, by size and modification time.
fn has_changed(place: Place, stamp: Option<Stamp>) -> bool {
    place.stamp != stamp
}

/// Reports rows that are recomputed because their files have changed.
fn tell_of_changed(files: &Files, journal: &Journal) {
    let changed = files.iter().filter(|(name, stamp)| {
        journal.place(name).is_some_and(|place| has_changed(place, *stamp))
    });
    let changed: Vec<&str> = changed.map(|(name, _)| name).collect();
    if let Some(first) = changed.first() {
        let images = count(changed.len(), "image", "images");
        output::progress(&format!(
            "recomputing {images} with a changed size or modification time ({}{})",
            output::shown(first),
            if changed.len() > 1 { ", ..." } else { "" }
        ));
    }
}

/// The work of this run.
#[derive(Default)]
struct Work {
    /// The summary line, if there was work to do.
    said: Option<String>,
    no_memory: NoMemory,
}

/// Embeds the files that have no row or have changed.
fn embed(
    args: &EmbedArgs,
    weights: &NetworkWeights,
    vectors: &Vectors,
    files: &Files,
    journal: &mut Journal,
) -> Result<Work, CliError> {
    let files = files.only(|name, stamp| {
        journal
            .place(name)
            .is_none_or(|place| has_changed(place, stamp) || place.failed && args.retry_failed)
    });
    if files.names.is_empty() {
        return Ok(Work::default());
    }
    // The batch size does not depend on the number of remaining images, so that the same kernels
    // compute the same vectors.
    let mut pipeline = args.images.load(&weights.without_head(), None)?;
    let mut images = Images::decode(files.paths().to_vec());
    let mut progress = Progress::new(files.names.len());
    let mut no_memory = NoMemory::default();
    while !interrupt::asked() {
        let batch = images.batch(args.images.batch as usize);
        if batch.is_empty() {
            break;
        }
        let rows = embed_batch(&mut pipeline, vectors, &files, &batch, &mut no_memory)?;
        journal.add(&rows)?;
        // An image without memory may have an old row: the file has changed since, or the row is an
        // error that was tried again.
        let names = batch.iter().map(|decoded| files.names[decoded.index].as_str());
        journal.remove(&names.filter(|name| no_memory.contains(name)).collect::<Vec<_>>())?;
        progress.add(&rows);
        progress.skip(batch.len() - rows.len());
    }
    let adapter = pipeline.network().executor().gpu().describe();
    let said = Some(format!("{}, {adapter}: {}", progress.rate(), weights.spec()));
    Ok(Work { said, no_memory })
}

/// Embeds a batch. Returns its rows, in order. Images on which the device or the host runs out of
/// memory have none.
fn embed_batch(
    pipeline: &mut ImagePipeline,
    kind: &Vectors,
    files: &Files,
    batch: &[Decoded],
    no_memory: &mut NoMemory,
) -> Result<Vec<Row>, CliError> {
    let images: Vec<&Image> =
        batch.iter().filter_map(|decoded| decoded.image.as_ref().ok()).collect();
    let compute =
        |pipeline: &mut ImagePipeline, images: &[Source<'_>]| kind.compute(pipeline, images);
    let mut vectors = each(pipeline, &images, &compute)?.into_iter();
    let mut rows = Vec::with_capacity(batch.len());
    for decoded in batch {
        let path = files.names[decoded.index].clone();
        let outcome = match &decoded.image {
            Ok(_) => match vectors.next() {
                Some(Ok(vector)) => Ok(kind.finish(vector)),
                Some(Err(NoVector::Image(error))) => Err(error),
                Some(Err(NoVector::OutOfMemory(error))) => {
                    no_memory.add(&path, &error);
                    continue;
                }
                None => Err("no vector was computed".to_owned()),
            },
            Err(error) if error.is_out_of_memory() => {
                no_memory.add(&path, &images::without_name(&files.paths()[decoded.index], error));
                continue;
            }
            Err(error) => Err(error.to_string()),
        };
        // The row says whose error it is.
        let outcome = outcome.map_err(|error| match error.strip_prefix(&format!("{path}: ")) {
            Some(reason) => reason.to_owned(),
            None => error,
        });
        rows.push(Row { path, stamp: files.stamp(decoded.index), outcome });
    }
    Ok(rows)
}

/// The contents of the output.
struct Summary {
    work: Work,
    files: usize,
    /// Files without a current row.
    left: usize,
    rows: usize,
    failed: Vec<String>,
}

/// Writes all rows to the output. If there are no rows because of Ctrl-C or a lack of
/// memory, nothing is written, and an existing output stays.
fn finish(
    output: &Output,
    about: &Fingerprint,
    files: &Files,
    journal: &Journal,
    work: Work,
) -> Result<Summary, CliError> {
    let placed = |name: &String| Some((name.clone(), journal.place(name)?));
    let (names, locations): (Vec<String>, Vec<Place>) =
        files.names.iter().filter_map(placed).unzip();
    let is_without_rows = interrupt::asked() || work.no_memory.count() > 0;
    if !(is_without_rows && locations.is_empty()) {
        output.write(about, &Finished { journal, places: &locations })?;
    }
    let failed =
        names.into_iter().zip(&locations).filter(|(_, place)| place.failed).map(|(name, _)| name);
    let is_left = |(name, stamp): &(&str, _)| {
        journal.place(name).is_none_or(|place| has_changed(place, *stamp))
    };
    let left = files.iter().filter(is_left).count();
    Ok(Summary {
        work,
        files: files.names.len(),
        left,
        rows: locations.len(),
        failed: failed.collect(),
    })
}

impl Summary {
    /// Reports how the run ended.
    fn tell(self, output: &Output) -> Result<(), CliError> {
        let Self { work: Work { said, no_memory }, files, left, rows, failed } = self;
        let (out, errors) = (output.name.display(), failed.len());
        let (images, vectors) =
            (count(rows, "image", "images"), count(rows - errors, "vector", "vectors"));
        if let Some(said) = said {
            output::progress(&said);
        }
        let mut lack = no_memory.error(files, again(rows, output.is_present()));
        if interrupt::asked() && rows == 0 {
            return Err(CliError::Interrupted(
                "interrupted before the first image: nothing was written".to_owned(),
            ));
        }
        if let Some(error) = lack.take_if(|_| rows == 0) {
            return Err(error);
        }
        output::progress(&format!(
            "{out}: {images}, {vectors}, {}",
            count(errors, "error", "errors")
        ));
        if interrupt::asked() && left > 0 {
            let files = count(files, "image", "images");
            return Err(CliError::Interrupted(format!(
                "interrupted, {left} of {files} left: --resume continues"
            )));
        }
        if let Some(error) = lack {
            return Err(error);
        }
        if errors == 0 {
            return Ok(());
        }
        let first: Vec<_> =
            failed.iter().take(NAMED_AT_THE_END).map(|name| output::shown(name)).collect();
        let more = if errors > first.len() { ", ..." } else { "" };
        let first = first.join(", ");
        Err(CliError::Incomplete(format!(
            "{errors} of {images} failed ({first}{more}): --retry-failed tries again"
        )))
    }
}

/// How to try the images again on which the device ran out of memory, after a run with this many
/// rows, and whether its output existed before. Without rows nothing was written: an output from
/// before may have rows of these images, which `--resume` would keep.
fn again(rows: usize, is_present: bool) -> &'static str {
    match rows == 0 && is_present {
        true => "nothing was written; the same command tries again",
        false => "--resume tries again",
    }
}

/// The rows of the journal, in the order of the files.
struct Finished<'a> {
    journal: &'a Journal,
    places: &'a [Place],
}

impl Rows for Finished<'_> {
    fn count(&self) -> usize {
        self.places.len()
    }

    fn iter(&self) -> Box<dyn Iterator<Item = io::Result<Row>> + '_> {
        Box::new(self.places.iter().map(|&place| self.journal.row(place)))
    }
}
