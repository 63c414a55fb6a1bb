//! The output files of a run.

use std::path::{Path, PathBuf};

use wgpu_bottleneck::weights::weights_in;

use super::super::error::CliError;
use super::super::files::{OutputFile, OutputFolder};

/// The name of the checkpoint.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The name of the weights of the best epoch.
const BEST: &str = "best.safetensors";
/// The name of the list of images that are left out.
const FAILED: &str = "failed.csv";
/// The name of the list of images.
pub const IMAGES: &str = "images.jsonl";

/// The files that a run writes.
#[derive(Debug)]
pub struct Files {
    /// The folder, as named on the command line.
    folder: PathBuf,
    pub checkpoint: OutputFile,
    pub model: OutputFile,
    pub best: OutputFile,
    pub config: OutputFile,
    pub log: OutputFile,
    pub curves: OutputFile,
    /// The list of images.
    pub images: OutputFile,
    /// Images that are left out.
    pub failed: OutputFile,
}

/// Refuses a folder that a new run cannot use: one with a checkpoint, weights or a config.json. The
/// run's config.json would apply to all weights in the folder.
pub fn refuse_used(out: &Path, resumes: bool) -> Result<(), CliError> {
    let checkpoint = out.join(CHECKPOINT);
    if checkpoint.exists() {
        let path = checkpoint.display();
        return match resumes {
            true => Ok(()),
            false => {
                Err(CliError::Usage(format!("{path} already exists: --resume continues from it")))
            }
        };
    }
    if !out.is_dir() {
        return Ok(());
    }
    let mut others = weights_in(out)?;
    let config = out.join("config.json").symlink_metadata().is_ok();
    others.extend(config.then(|| "config.json".to_owned()));
    if others.is_empty() {
        return Ok(());
    }
    let (out, others) = (out.display(), others.join(", "));
    Err(CliError::Usage(format!("{out} already contains {others}: choose another --out")))
}

impl Files {
    /// Checks that the files can be written.
    pub fn check(folder: &Path) -> Result<Self, CliError> {
        OutputFolder::check(folder)?.create()?;
        let file = |name: &str| OutputFile::check(&folder.join(name), &[]);
        Ok(Self {
            folder: folder.to_owned(),
            checkpoint: file(CHECKPOINT)?,
            model: file("model.safetensors")?,
            best: file(BEST)?,
            config: file("config.json")?,
            log: file("log.csv")?,
            curves: file("curves.svg")?,
            images: file(IMAGES)?,
            failed: file(FAILED)?,
        })
    }

    /// The name of the weights of the best epoch, for messages.
    pub fn best_name(&self) -> String {
        self.folder.join(BEST).display().to_string()
    }

    /// The name of the list of images that are left out, for messages.
    pub fn failed_name(&self) -> String {
        self.folder.join(FAILED).display().to_string()
    }
}
