//! Writing the output file: whole or not at all, and never over an input.

use std::fs::{self, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};
use wgpu_bottleneck::HostTensor;

use super::error::CliError;

/// Where a result will be written, checked before any work is done.
#[derive(Debug)]
pub struct OutputFile {
    /// The file, symbolic links followed.
    path: PathBuf,
    /// What is there now.
    present: Option<Metadata>,
}

impl OutputFile {
    /// Checks that the file can be written and is none of `inputs`.
    pub fn check(path: &Path, inputs: &[&Path]) -> Result<Self, CliError> {
        let present = fs::metadata(path).ok();
        let usage = |why: &str| Err(CliError::Usage(format!("{}: {why}", path.display())));
        let Some(metadata) = present else {
            if path.file_name().is_none() {
                return usage("not the name of a file");
            }
            let parent = parent(path);
            return match fs::metadata(parent) {
                Ok(metadata) if metadata.is_dir() => Ok(Self { path: path.to_owned(), present: None }),
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
        let path = fs::canonicalize(path).map_err(|source| CliError::io(path, source))?;
        if let Some(input) = inputs.iter().find(|input| same_file(&path, &metadata, input)) {
            let input = input.display();
            return Err(CliError::Usage(format!("output and {input} are the same file: the input is never modified")));
        }
        Ok(Self { path, present: Some(metadata) })
    }

    /// Writes a safetensors file with the tensor `out` beside its place, then moves it there in one step.
    pub fn write(&self, out: &HostTensor) -> Result<(), CliError> {
        let io = |source| CliError::io(&self.path, source);
        let bytes = serialize(out).map_err(|error| io(std::io::Error::other(error)))?;
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(".bottleneck-").tempfile_in(parent(&self.path)).map_err(io)?;
        if let Some(present) = &self.present {
            file.as_file().set_permissions(present.permissions()).map_err(io)?;
        }
        file.write_all(&bytes).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(&self.path).map_err(|error| io(error.error))?;
        Ok(())
    }
}

/// The directory of a file; `.` where the path is a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether two paths lead to one file, through links of either kind.
fn same_file(path: &Path, metadata: &Metadata, other: &Path) -> bool {
    #[cfg(unix)]
    if let Ok(other) = fs::metadata(other) {
        use std::os::unix::fs::MetadataExt;
        return (metadata.dev(), metadata.ino()) == (other.dev(), other.ino());
    }
    let _ = metadata;
    fs::canonicalize(other).is_ok_and(|other| other == path)
}

/// A safetensors file with the one tensor `out`, f32, little-endian.
fn serialize(out: &HostTensor) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes: Vec<u8> = out.data().iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, out.shape().dims().to_vec(), &bytes)?;
    safetensors::serialize([("out", view)], None)
}
