//! The output files of a run.

use std::fs;
use std::path::Path;

use wgpu_bottleneck::weights::weights_in;

use super::super::error::CliError;
use super::super::files::OutputFile;

/// The files that a run writes.
pub struct Files {
    pub checkpoint: OutputFile,
    pub model: OutputFile,
    pub config: OutputFile,
    pub log: OutputFile,
    pub curves: OutputFile,
}

impl Files {
    /// The files of a run. A new run needs a folder without weights and without config.json,
    /// because its config.json applies to all weights in the folder.
    pub fn begin(out: &Path) -> Result<Self, CliError> {
        let checkpoint = out.join("checkpoint.safetensors");
        if !checkpoint.exists() && out.is_dir() {
            let mut others = weights_in(out)?;
            others.extend(
                out.join("config.json")
                    .symlink_metadata()
                    .is_ok()
                    .then(|| "config.json".to_owned()),
            );
            if !others.is_empty() {
                let (out, others) = (out.display(), others.join(", "));
                return Err(CliError::Usage(format!(
                    "{out} already contains {others}: choose another --out"
                )));
            }
        }
        Self::check(out)
    }

    /// Checks that the files can be written.
    pub fn check(folder: &Path) -> Result<Self, CliError> {
        if !folder.is_dir() {
            fs::create_dir(folder).map_err(|source| CliError::io(folder, source))?;
        }
        let file = |name: &str| OutputFile::check(&folder.join(name), &[]);
        Ok(Self {
            checkpoint: file("checkpoint.safetensors")?,
            model: file("model.safetensors")?,
            config: file("config.json")?,
            log: file("log.csv")?,
            curves: file("curves.svg")?,
        })
    }
}
