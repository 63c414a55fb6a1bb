//! The image list of a run, stored in its output folder: the images at the first start, and the
//! images left out since then.
//!
//! The file is JSON Lines. The first line is the list and never changes; every epoch shuffles this
//! list. Each further line is an image that was left out. It is written before the step that needs
//! the image, so that a resumed run leaves out the same images. Each line has a checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::error::CliError;
use super::super::files::OutputFile;
use super::super::input_file;
use super::checksum;
use super::path_text::{decode, encode};

/// The maximum size of the file in bytes: enough for tens of millions of images.
const MOST_BYTES: u64 = 4 << 30;

/// The format in the first line.
const FORMAT: &str = "wgpu-bottleneck images 1";

/// An epoch, and a place in its shuffle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Since {
    pub epoch: u64,
    pub place: u64,
}

/// An image that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its index in the list.
    pub image: usize,
    /// The place from which on the image is left out.
    pub since: Since,
    /// The reason.
    pub reason: String,
}

/// The purpose of a folder's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Training,
    Validation,
}

/// The images of one folder.
#[derive(Debug, Clone)]
pub struct Part {
    /// The folder, as named in this run or at the first start.
    pub folder: PathBuf,
    /// The folder of the first start, with all links resolved, as text.
    pub origin: String,
    /// The path of each image within the folder, and its class.
    pub images: Arc<Vec<(PathBuf, usize)>>,
    /// Files that are not in the list because their headers could not be read, and the errors.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Images that were left out later.
    pub left_out: BTreeMap<usize, (Since, String)>,
}

impl Part {
    /// The path of an image.
    pub fn path(&self, image: usize) -> PathBuf {
        self.images.get(image).map_or_else(PathBuf::new, |(path, _)| self.folder.join(path))
    }

    /// Whether an image is left out at this place.
    pub fn is_left_out(&self, image: usize, there: Since) -> bool {
        self.left_out.get(&image).is_some_and(|(since, _)| *since <= there)
    }

    /// Leaves out an image. If there are several places, it is left out from the first one on.
    fn leave_out(&mut self, Failure { image, since, reason }: Failure) {
        let entry = self.left_out.entry(image).or_insert((since, reason));
        entry.0 = entry.0.min(since);
    }

    /// All images that failed: before training (not in the list), or later (left out of it).
    pub fn failed(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        let unreadable = self.unreadable.iter();
        let unreadable = unreadable.map(|(path, why)| (self.folder.join(path), why.as_str()));
        let later = self.left_out.iter();
        unreadable.chain(later.map(|(&image, (_, why))| (self.path(image), why.as_str())))
    }

    /// The number of images that are still used.
    pub fn used(&self) -> usize {
        self.images.len() - self.left_out.len()
    }
}

/// The images of a run.
#[derive(Debug, Clone)]
pub struct ImageList {
    pub classes: Vec<String>,
    pub training: Part,
    pub validation: Option<Part>,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    classes: Vec<String>,
    training: PartText,
    validation: Option<PartText>,
    checksum: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct PartText {
    folder: String,
    images: Vec<(String, usize)>,
    unreadable: Vec<(String, String)>,
}

/// A further line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    part: Kind,
    image: usize,
    epoch: u64,
    place: u64,
    reason: String,
    checksum: Option<String>,
}

impl ImageList {
    /// The images of one folder.
    pub fn part(&mut self, kind: Kind) -> Option<&mut Part> {
        match kind {
            Kind::Training => Some(&mut self.training),
            Kind::Validation => self.validation.as_mut(),
        }
    }

    /// Reads a list. An unfinished last line, written by a killed process, is ignored.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = input_file::read(path, "an image list", MOST_BYTES)?;
        let refuse = |why: &str| {
            let path = path.display();
            let how = "restore it, or choose another --out";
            CliError::Usage(format!("{path}: not an image list of `train`, {why}: {how}"))
        };
        let mut lines = bytes.split(|&byte| byte == b'\n');
        let header: Header = checksum::read_line(lines.next().unwrap_or_default())
            .map_err(|error| refuse(&format!("or damaged ({error})")))?;
        if header.format != FORMAT {
            let found = header.format;
            return Err(refuse(&format!("its format is {found:?}, expected {FORMAT:?}")));
        }
        let classes = header.classes.len();
        let read = |text| part(text, classes).ok_or_else(|| refuse("or damaged (a path or class)"));
        let training = read(header.training)?;
        let validation = header.validation.map(read).transpose()?;
        let mut list = Self { classes: header.classes, training, validation };
        let mut lines = lines.peekable();
        while let Some(line) = lines.next() {
            // The text after the last line break is empty, or unfinished.
            if lines.peek().is_none() {
                break;
            }
            list.add(line).ok_or_else(|| refuse("or damaged (an image that was left out)"))?;
        }
        Ok(list)
    }

    /// Adds an image that was left out.
    fn add(&mut self, line: &[u8]) -> Option<()> {
        let Record { part, image, epoch, place, reason, .. } = checksum::read_line(line).ok()?;
        let part = self.part(part).filter(|part| image < part.images.len())?;
        part.leave_out(Failure { image, since: Since { epoch, place }, reason });
        Some(())
    }

    /// Writes the file.
    pub fn write(&self, file: &OutputFile) -> Result<(), CliError> {
        let header = Header {
            format: FORMAT.to_owned(),
            classes: self.classes.clone(),
            training: text(&self.training),
            validation: self.validation.as_ref().map(text),
            checksum: Some(checksum::UNKNOWN.to_owned()),
        };
        let io = |source| CliError::io(file.path(), source);
        let mut bytes = checksum::line(&header).map_err(io)?;
        let training = (Kind::Training, &self.training);
        let validation = self.validation.iter().map(|part| (Kind::Validation, part));
        for (kind, part) in std::iter::once(training).chain(validation) {
            for (&image, (since, reason)) in &part.left_out {
                let (since, reason) = (*since, reason.clone());
                bytes.extend(record(kind, &Failure { image, since, reason }).map_err(io)?);
            }
        }
        file.stage_named(".images.part".as_ref(), |to| to.write_all(&bytes))?.persist()
    }

    /// Leaves out images, and appends them to the file.
    pub fn leave_out(
        &mut self,
        file: &OutputFile,
        kind: Kind,
        failures: Vec<Failure>,
    ) -> Result<(), CliError> {
        let lines = failures.iter().map(|failure| record(kind, failure));
        lines
            .collect::<io::Result<Vec<_>>>()
            .and_then(|lines| append(file.path(), &lines.concat()))
            .map_err(|source| CliError::io(file.path(), source))?;
        if let Some(part) = self.part(kind) {
            failures.into_iter().for_each(|failure| part.leave_out(failure));
        }
        Ok(())
    }
}

/// Appends to a file and syncs it, so that the bytes survive a killed process or a power failure.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    let before = file.metadata()?.len();
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_data()) {
        // The error is what counts; an unfinished line would not be read.
        let _ = file.set_len(before);
        return Err(error);
    }
    Ok(())
}

/// The line of an image that is left out.
fn record(part: Kind, failure: &Failure) -> io::Result<Vec<u8>> {
    let Failure { image, since: Since { epoch, place }, reason } = failure;
    let (image, epoch, place, reason) = (*image, *epoch, *place, reason.clone());
    let checksum = Some(checksum::UNKNOWN.to_owned());
    checksum::line(&Record { part, image, epoch, place, reason, checksum })
}

fn text(part: &Part) -> PartText {
    let unreadable = part.unreadable.iter();
    PartText {
        folder: part.origin.clone(),
        images: part.images.iter().map(|(path, class)| (encode(path), *class)).collect(),
        unreadable: unreadable.map(|(path, why)| (encode(path), why.clone())).collect(),
    }
}

/// The inverse of [`text`]; `None` if a text is not a path, or a class does not exist.
fn part(text: PartText, classes: usize) -> Option<Part> {
    let one = |(path, class): (String, usize)| Some((decode(&path)?, class));
    let images = text.images.into_iter().map(one).collect::<Option<Vec<_>>>()?;
    let one = |(path, why): (String, String)| Some((decode(&path)?, why));
    let unreadable = text.unreadable.into_iter().map(one).collect::<Option<Vec<_>>>()?;
    images.iter().all(|(_, class)| *class < classes).then_some(Part {
        folder: PathBuf::from(&text.folder),
        origin: text.folder,
        images: Arc::new(images),
        unreadable,
        left_out: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn list() -> ImageList {
        let part = |images: &[(&str, usize)]| Part {
            folder: "/photos".into(),
            origin: "/photos".to_owned(),
            images: Arc::new(images.iter().map(|&(path, class)| (path.into(), class)).collect()),
            unreadable: vec![("a/empty.png".into(), "empty\n".to_owned())],
            left_out: BTreeMap::new(),
        };
        ImageList {
            classes: vec!["a".to_owned(), "b".to_owned()],
            training: part(&[("a/1.png", 0), ("b/2.png", 1), ("b/3.png", 1)]),
            validation: Some(part(&[("b/2.png", 1)])),
        }
    }

    fn failure(image: usize, epoch: u64, place: u64) -> Failure {
        Failure { image, since: Since { epoch, place }, reason: format!("bad\n{image}") }
    }

    #[test]
    fn a_list_comes_back_whatever_its_last_line_is() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("images.jsonl");
        let (file, mut written) = (OutputFile::check(&path, &[])?, list());
        written.write(&file)?;
        written.leave_out(&file, Kind::Training, vec![failure(2, 1, 7), failure(0, 2, 1)])?;
        written.leave_out(&file, Kind::Validation, vec![failure(0, 3, 0)])?;
        let shown = |list: &ImageList| format!("{list:?}");
        let whole = std::fs::read(&path)?;
        assert_eq!(shown(&ImageList::read(&path)?), shown(&written));
        // Again as a whole.
        written.write(&file)?;
        assert_eq!(shown(&ImageList::read(&path)?), shown(&written));
        let header = whole.iter().position(|&byte| byte == b'\n').ok_or("no line")?;
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length])?;
            let lines = whole[header..length.max(header)].iter().filter(|byte| **byte == b'\n');
            match ImageList::read(&path) {
                Ok(list) => {
                    let parts = [Some(&list.training), list.validation.as_ref()];
                    let found: usize = parts.iter().flatten().map(|part| part.left_out.len()).sum();
                    assert_eq!(found, lines.count().saturating_sub(1), "{length}");
                }
                Err(error) => {
                    assert!(length < header, "{length}");
                    assert!(error.to_string().contains("choose another --out"));
                }
            }
        }
        let lines = String::from_utf8(whole)?;
        for (before, after) in
            [("images 1", "images 2"), ("\"image\":2", "\"image\":3"), ("2.png\",1", "2.png\",2")]
        {
            let changed = lines.replacen(before, after, 1);
            std::fs::write(&path, &changed)?;
            assert!(ImageList::read(&path).is_err(), "{before}");
            std::fs::write(&path, without_checksums(&changed))?;
            assert!(ImageList::read(&path).is_err(), "{before}");
        }
        // Lists of earlier versions have no checksums.
        std::fs::write(&path, without_checksums(&lines))?;
        assert_eq!(shown(&ImageList::read(&path)?), shown(&written));
        Ok(())
    }

    fn without_checksums(lines: &str) -> String {
        let start = format!(",\"{}\":\"", checksum::KEY);
        let without = |line: &str| line.split(&start).next().map(|rest| format!("{rest}}}\n"));
        lines.lines().filter_map(without).collect()
    }

    #[test]
    fn flipped_bits_are_found() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("images.jsonl");
        let (file, mut written) = (OutputFile::check(&path, &[])?, list());
        written.write(&file)?;
        written.leave_out(&file, Kind::Training, vec![failure(2, 1, 7), failure(0, 2, 1)])?;
        let whole = std::fs::read(&path)?;
        // Without its line break, the last line is unfinished.
        for byte in 0..whole.len() - 1 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            std::fs::write(&path, &flipped)?;
            assert!(ImageList::read(&path).is_err(), "byte {byte}");
        }
        Ok(())
    }

    #[test]
    fn what_is_left_out_stays_out_from_its_first_place_on() {
        let mut part = list().training;
        for (epoch, place) in [(2, 5), (1, 9), (3, 0)] {
            part.leave_out(failure(1, epoch, place));
        }
        let out = |epoch, place| part.is_left_out(1, Since { epoch, place });
        assert_eq!([out(1, 8), out(1, 9), out(2, 0)], [false, true, true]);
        assert!(!part.is_left_out(0, Since { epoch: 9, place: 9 }));
        assert_eq!((part.used(), part.failed().count()), (2, 2));
    }
}
