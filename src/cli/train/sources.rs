//! The sources of a run's images: the folders for a new run, the list in the output folder for a
//! resumed run.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use wgpu_bottleneck::Image;

use super::super::error::CliError;
use super::super::image_files;
use super::super::output::{self, count};
use super::args::TrainArgs;
use super::batches::{opened, or_reason};
use super::folders::Folders;
use super::list::{Failure, ImageList, Kind, Part, Since};

/// The images of a run.
#[derive(Debug)]
pub struct Sources {
    pub list: ImageList,
    /// Whether the list was written by an earlier start.
    pub is_kept: bool,
    /// Images of the list whose headers cannot be read now, and the errors.
    pub late: Vec<(Kind, usize, String)>,
}

impl Sources {
    /// Finds the images and reads all headers. A resumed run uses the images of the list in its
    /// output folder.
    pub fn open(args: &TrainArgs, list: &Path, has_checkpoint: bool) -> Result<Self, CliError> {
        let kept = if args.resume && list.is_file() { Some(ImageList::read(list)?) } else { None };
        let mut sources = match kept {
            // Without a checkpoint the folders may be others.
            Some(list) if has_checkpoint || list.training.origin == origin(&args.data)? => {
                Self::resumed(args, list)?
            }
            // A checkpoint without a list is of a version that stopped at unreadable images, and
            // had them in its shuffles.
            _ => Self::new(args, args.resume && has_checkpoint)?,
        };
        if let Some(folder) = &args.validation {
            sources.validation(folder, args.strict)?;
        }
        Ok(sources)
    }

    /// The images of a new run.
    fn new(args: &TrainArgs, keeps_unreadable: bool) -> Result<Self, CliError> {
        let folders = Folders::find(&args.data)?;
        folders.check()?;
        folders.tell();
        let classes = folders.classes.clone();
        let mut late = Vec::new();
        let training = if keeps_unreadable {
            let part = part(&args.data, folders.images, Vec::new())?;
            late = unreadable(&part, Kind::Training)?;
            part
        } else {
            readable(&args.data, folders.images, args.strict)?
        };
        Ok(Self { list: ImageList { classes, training, validation: None }, is_kept: false, late })
    }

    /// The images of a list.
    fn resumed(args: &TrainArgs, mut list: ImageList) -> Result<Self, CliError> {
        let folders = Folders::find(&args.data)?;
        let part = &mut list.training;
        part.folder = args.data.clone();
        let known: HashSet<&Path> = part
            .images
            .iter()
            .map(|(path, _)| path)
            .chain(part.unreadable.iter().map(|(path, _)| path))
            .map(PathBuf::as_path)
            .collect();
        let new = folders.images.iter().filter(|(path, _)| !known.contains(path.as_path())).count();
        if new > 0 {
            let (folder, new) = (args.data.display(), count(new, "image", "images"));
            output::progress(&format!(
                "{folder}: {new} not there at the first start, and not used: to use all images, \
                choose a new --out"
            ));
        }
        let late = unreadable(part, Kind::Training)?;
        let missing =
            late.iter().map(|(_, image, _)| part.path(*image)).find(|path| !path.exists());
        if let Some(missing) = missing
            && part.origin != origin(&args.data)?
        {
            return Err(CliError::Usage(format!(
                "{}: not found, but the run started with it, in {}: pass the same images to --data",
                image_files::text(missing),
                part.origin
            )));
        }
        Ok(Self { list, is_kept: true, late })
    }

    /// Finds the validation images. If the folder is the same, the list's images are used.
    fn validation(&mut self, folder: &Path, is_strict: bool) -> Result<(), CliError> {
        if let Some(part) = &mut self.list.validation
            && part.origin == origin(folder)?
        {
            part.folder = folder.to_owned();
            self.late.extend(unreadable(part, Kind::Validation)?);
            return Ok(());
        }
        let folders = Folders::find(folder)?;
        folders.check()?;
        folders.tell();
        let differs = |here: &[String], there: &[String]| -> Vec<String> {
            here.iter().filter(|name| !there.contains(name)).cloned().collect()
        };
        let missing = differs(&self.list.classes, &folders.classes);
        let unknown = differs(&folders.classes, &self.list.classes);
        for (what, names) in [("no images of", missing), ("additional classes:", unknown)] {
            if let Some(first) = names.first() {
                let (folder, more) = (folder.display(), if names.len() > 1 { ", ..." } else { "" });
                return Err(CliError::Usage(format!(
                    "{folder}: its classes differ from the classes of --data: {what} {}{more}",
                    output::shown(first)
                )));
            }
        }
        let part = readable(folder, folders.images, is_strict)?;
        if part.images.is_empty() {
            let folder = folder.display();
            return Err(CliError::Usage(format!("{folder}: none of its images can be read")));
        }
        self.list.validation = Some(part);
        Ok(())
    }

    /// Names the classes of which no image can be read. They stay classes of the network.
    fn warn_of_empty_classes(&self) {
        let images = self.list.training.images.iter();
        let used: HashSet<usize> = images.map(|(_, class)| *class).collect();
        let empty = self.list.classes.iter().enumerate().filter(|(class, _)| !used.contains(class));
        let names: Vec<_> = empty.map(|(_, name)| output::shown(name)).collect();
        if !names.is_empty() {
            let (folder, names) = (self.list.training.folder.display(), names.join(", "));
            output::progress(&format!(
                "warning: {folder}: no image of these classes can be read: {names}"
            ));
        }
    }

    /// Refuses a run with too few images for one step. Warns of classes without a readable image.
    pub fn check(&self, args: &TrainArgs) -> Result<(), CliError> {
        self.warn_of_empty_classes();
        let late = self.late.iter().filter(|(kind, ..)| *kind == Kind::Training).count();
        let (found, needed) =
            (self.list.training.used() - late, (args.batch * args.accumulate) as usize);
        if found >= needed {
            return Ok(());
        }
        let found = count(found, "image", "images");
        let out = self.list.training.failed().count() + late;
        let out = if out > 0 { format!(" ({out} cannot be read)") } else { String::new() };
        Err(CliError::Usage(format!("found {found}{out}, fewer than the {needed} of one step")))
    }

    /// The images that cannot be read now. They are left out from `since` on.
    pub fn failures(&self, kind: Kind, since: Since) -> Vec<Failure> {
        let late = self.late.iter().filter(|(part, ..)| *part == kind);
        late.map(|(_, image, reason)| Failure { image: *image, since, reason: reason.clone() })
            .collect()
    }
}

/// A folder with all links resolved, as text.
fn origin(folder: &Path) -> Result<String, CliError> {
    let path = fs::canonicalize(folder).map_err(|source| CliError::io(folder, source))?;
    Ok(image_files::text(path))
}

fn part(
    folder: &Path,
    images: Vec<(PathBuf, usize)>,
    unreadable: Vec<(PathBuf, String)>,
) -> Result<Part, CliError> {
    let (folder, origin) = (folder.to_owned(), origin(folder)?);
    let (images, left_out) = (Arc::new(images), BTreeMap::new());
    Ok(Part { folder, origin, images, unreadable, left_out })
}

/// The images of a folder whose headers can be read.
fn readable(
    folder: &Path,
    images: Vec<(PathBuf, usize)>,
    is_strict: bool,
) -> Result<Part, CliError> {
    let reasons = images.par_iter().map(|(path, _)| why_not(&folder.join(path)));
    let reasons: Vec<Option<String>> = reasons.collect::<Result<_, _>>()?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for ((path, class), reason) in images.into_iter().zip(reasons) {
        match reason {
            None => good.push((path, class)),
            Some(reason) if is_strict => return Err(stopped(&folder.join(path), &reason)),
            Some(reason) => bad.push((path, reason)),
        }
    }
    part(folder, good, bad)
}

/// The images of a part whose headers cannot be read and that are not already left out.
fn unreadable(part: &Part, kind: Kind) -> Result<Vec<(Kind, usize, String)>, CliError> {
    let images = (0..part.images.len()).into_par_iter();
    images
        .filter(|image| !part.left_out.contains_key(image))
        .filter_map(|image| {
            let why = why_not(&part.path(image)).transpose()?;
            Some(why.map(|why| (kind, image, why)))
        })
        .collect()
}

/// The error of reading an image's header; `None` if there is none.
fn why_not(path: &Path) -> Result<Option<String>, CliError> {
    if Image::decoding_bytes(path).is_ok() {
        return Ok(None);
    }
    // Says more, and has the last word.
    Ok(or_reason(path, opened(path))?.err())
}

/// The error of a strict run.
pub fn stopped(path: &Path, reason: &str) -> CliError {
    CliError::Usage(format!(
        "{}: {}: repair or remove it, or leave it out by dropping --strict",
        output::shown(&image_files::text(path)),
        output::shown(reason)
    ))
}
