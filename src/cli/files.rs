//! Writes output files atomically, and never over an input.
//!
//! The rules for temporary files and for links are in [`wgpu_bottleneck::files`].

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};
use wgpu_bottleneck::files::{self, Group};

use super::error::CliError;

pub use wgpu_bottleneck::files::parent;

/// The destination of a result, checked before any work is done.
#[derive(Debug)]
pub struct OutputFile {
    /// The file, symbolic links followed.
    path: PathBuf,
    /// The metadata of the existing file.
    present: Option<Metadata>,
}

impl OutputFile {
    /// Checks that the file can be written and is none of `inputs`. [`files::follow`] has the rule
    /// for symbolic links.
    pub fn check(path: &Path, inputs: &[&Path]) -> Result<Self, CliError> {
        let usage = |why: &str| Err(CliError::Usage(format!("{}: {why}", path.display())));
        let io = |source| CliError::io(path, source);
        let Ok(metadata) = fs::metadata(path) else {
            if path.file_name().is_none() {
                return usage("not the name of a file");
            }
            let parent = parent(path);
            return match fs::metadata(parent) {
                Ok(metadata) if metadata.is_dir() => {
                    Ok(Self { path: files::follow(path).map_err(io)?, present: None })
                }
                Ok(_) => usage("its parent is not a directory"),
                Err(source) => Err(CliError::io(parent, source)),
            };
        };
        if !metadata.is_file() {
            return usage("the output must be a regular file");
        }
        if metadata.permissions().readonly() {
            return usage("the output file is write-protected");
        }
        let path = files::follow(path).map_err(io)?;
        if let Some(input) = inputs.iter().find(|input| same_file(&path, &metadata, input)) {
            let input = input.display();
            return Err(CliError::Usage(format!(
                "output and {input} are the same file: the input is never modified"
            )));
        }
        Ok(Self { path, present: Some(metadata) })
    }

    /// Writes a safetensors file with these tensors under a temporary name in the same folder, then
    /// renames it.
    pub fn write<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32])>,
    ) -> Result<(), CliError> {
        self.stage_tensors(tensors)?.persist()
    }

    /// [`OutputFile::write`] for tensors of several types.
    pub fn write_values<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize], Values<'a>)>,
    ) -> Result<(), CliError> {
        self.stage_values(tensors)?.persist()
    }

    /// Like [`OutputFile::write_values`], but without the final rename.
    fn stage_values<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize], Values<'a>)>,
    ) -> Result<Staged<'_>, CliError> {
        let bytes = serialize(tensors)
            .map_err(|error| CliError::io(&self.path, std::io::Error::other(error)))?;
        self.stage(&bytes)
    }

    /// Writes a safetensors file with these f32 tensors under a temporary name.
    pub fn stage_tensors<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32])>,
    ) -> Result<Staged<'_>, CliError> {
        self.stage_values(
            tensors.into_iter().map(|(name, dims, values)| (name, dims, Values::F32(values))),
        )
    }

    /// Writes a file with these contents under a temporary name in the same folder, then renames
    /// it.
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        self.stage(bytes)?.persist()
    }

    /// The file, symbolic links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file exists already.
    pub fn is_present(&self) -> bool {
        self.present.is_some()
    }

    /// Whether both are one name in one folder, so that the second file would replace the first.
    /// Links and `..` may lead to one folder on different ways.
    pub fn is_same(&self, other: &Self) -> bool {
        let folder = |file: &Self| fs::canonicalize(parent(&file.path)).ok();
        let is_one_path = self.path == other.path;
        let is_one_name = self.path.file_name() == other.path.file_name();
        is_one_path || is_one_name && folder(self).is_some_and(|it| folder(other) == Some(it))
    }

    /// Writes a file under a temporary name in the same folder.
    fn stage(&self, bytes: &[u8]) -> Result<Staged<'_>, CliError> {
        self.stage_with(|file| file.write_all(bytes))
    }

    /// Like `stage`, but `write` writes the contents. Version 0.1.0 used the temporary name
    /// `former`: a file with that name, left by a killed process, is removed.
    pub fn stage_named(
        &self,
        former: &OsStr,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<Staged<'_>, CliError> {
        match fs::remove_file(parent(&self.path).join(former)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(CliError::io(&self.path, error));
            }
            _ => {}
        }
        self.stage_with(write)
    }

    fn stage_with(
        &self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<Staged<'_>, CliError> {
        let file = files::Staged::write(&self.path, self.permissions(), write)
            .map_err(|source| CliError::io(&self.path, source))?;
        Ok(Staged { file, path: &self.path })
    }

    /// The permissions of the existing file, which the new one keeps.
    fn permissions(&self) -> Option<Permissions> {
        self.present.as_ref().map(Metadata::permissions)
    }
}

/// A complete file under its temporary name. Dropping it removes the file.
#[derive(Debug)]
pub struct Staged<'a> {
    file: files::Staged,
    path: &'a Path,
}

impl Staged<'_> {
    /// Renames the file to its final name.
    pub fn persist(self) -> Result<(), CliError> {
        self.file.persist().map_err(|source| CliError::io(self.path, source))
    }

    /// Renames this file and one that describes it, as [`files::Staged::persist_with`] says.
    pub fn persist_with(self, description: Self) -> Result<(), CliError> {
        let renamed = self.file.persist_with(description.file);
        renamed.map_err(|(path, source)| CliError::io(path, source))
    }
}

/// A folder for many output files, checked before any work is done.
#[derive(Debug)]
pub struct OutputFolder {
    /// The folder. If it has to be created, symbolic links are followed.
    path: PathBuf,
    /// Whether it has to be created.
    missing: bool,
}

impl OutputFolder {
    /// Checks that the folder or its parent exists. [`files::follow`] has the rule for symbolic
    /// links.
    pub fn check(path: &Path) -> Result<Self, CliError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Ok(Self { path: path.to_owned(), missing: false });
            }
            Ok(_) => return Err(CliError::Usage(format!("{}: not a folder", path.display()))),
            Err(_) => {}
        }
        let path = files::follow(path).map_err(|source| CliError::io(path, source))?;
        let parent = parent(&path);
        let metadata = fs::metadata(parent).map_err(|source| CliError::io(parent, source))?;
        if !metadata.is_dir() {
            return Err(CliError::Usage(format!("{}: its parent is not a folder", path.display())));
        }
        Ok(Self { path, missing: true })
    }

    /// Creates the folder if it does not exist.
    pub fn create(&self) -> Result<(), CliError> {
        if self.missing {
            fs::create_dir(&self.path).map_err(|source| CliError::io(&self.path, source))?;
        }
        Ok(())
    }

    /// Writes files by name and contents. All are complete under temporary names before the first
    /// is renamed, so that a lack of space or permissions leaves the folder unchanged. They are
    /// renamed in order, and none replaces one of `inputs`.
    pub fn write(&self, files: &[(String, Vec<u8>)], inputs: &[&Path]) -> Result<(), CliError> {
        self.create()?;
        let written = self.write_into(files, inputs);
        if written.is_err() && self.missing {
            // Removes the folder only if it is empty.
            let _ = fs::remove_dir(&self.path);
        }
        written
    }

    fn write_into(&self, files: &[(String, Vec<u8>)], inputs: &[&Path]) -> Result<(), CliError> {
        let io = |source| CliError::io(&self.path, source);
        let places = files.iter().map(|(name, _)| OutputFile::check(&self.path.join(name), inputs));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        let folder = fs::canonicalize(&self.path).map_err(io)?;
        let (mut group, mut linked) = (Group::begin(&folder).map_err(io)?, Vec::new());
        for (place, (_, bytes)) in places.iter().zip(files) {
            if fs::canonicalize(parent(&place.path)).map_err(io)? == folder {
                group
                    .stage(&place.path, place.permissions(), bytes)
                    .map_err(|source| CliError::io(&place.path, source))?;
            } else {
                // A link to a file in another folder, perhaps on another file system.
                linked.push(place.stage(bytes)?);
            }
        }
        group.persist().map_err(|(path, source)| CliError::io(path, source))?;
        linked.into_iter().try_for_each(Staged::persist)
    }
}

/// Opens a regular file to read and write, creates it if it is missing, and tries to lock it. The
/// operating system releases the lock when the process ends. Some file systems do not support
/// locks.
pub fn open_and_lock(path: &Path) -> io::Result<(File, Result<(), TryLockError>)> {
    let check = |about: &Metadata| match about.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::InvalidInput, files::NotRegular::of(about))),
    };
    // Checked before, since opening a device can have effects, and after, since another process can
    // replace the file in between.
    if let Ok(about) = fs::metadata(path) {
        check(&about)?;
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    let locked = file.try_lock();
    Ok((file, locked))
}

/// Whether two paths lead to one file, through symbolic or hard links.
fn same_file(path: &Path, metadata: &Metadata, other: &Path) -> bool {
    #[cfg(unix)]
    if let Ok(other) = fs::metadata(other) {
        use std::os::unix::fs::MetadataExt;
        return (metadata.dev(), metadata.ino()) == (other.dev(), other.ino());
    }
    let _ = metadata;
    fs::canonicalize(other).is_ok_and(|other| other == path)
}

/// The values of a tensor to write.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Numbers.
    F32(&'a [f32]),
    /// Counts.
    I64(&'a [i64]),
}

/// A safetensors file, little-endian.
fn serialize<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize], Values<'a>)>,
) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes = |(name, dims, values): (&'a str, &'a [usize], Values<'a>)| {
        let (dtype, bytes): (Dtype, Vec<u8>) = match values {
            Values::F32(values) => {
                (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Values::I64(values) => {
                (Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        (name, dims, dtype, bytes)
    };
    let tensors: Vec<_> = tensors.into_iter().map(bytes).collect();
    let views: Result<Vec<_>, safetensors::SafeTensorError> = tensors
        .iter()
        .map(|(name, dims, dtype, bytes)| {
            Ok((*name, TensorView::new(*dtype, dims.to_vec(), bytes)?))
        })
        .collect();
    safetensors::serialize(views?, None)
}
