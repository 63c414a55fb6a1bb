//! The weights that a workload takes from a file.

use std::path::PathBuf;

use wgpu_bottleneck::Error;

use super::super::block_or_network::{self, BlockOrNetwork};
use super::super::error::CliError;
use super::super::source_args::{AUTO, SourceArgs};
use super::args::WorkloadArgs;

/// --weights, as the other commands have it.
fn source_args(args: &WorkloadArgs) -> Option<SourceArgs> {
    Some(SourceArgs {
        weights: args.weights.clone()?,
        model: AUTO.to_owned(),
        prefix: args.prefix.clone(),
        key: args.key.clone(),
        config: args.config.clone(),
        variant: args.variant.clone(),
    })
}

/// The files of --weights, which must not be overwritten: weights and configurations.
pub fn inputs(args: &WorkloadArgs) -> Result<Vec<PathBuf>, CliError> {
    source_args(args).map_or(Ok(Vec::new()), |source| source.inputs())
}

/// A file of weights.
#[derive(Debug)]
pub struct Source {
    /// The file or the folder, as on the command line.
    pub file: PathBuf,
    /// The prefix of the keys that are read.
    prefix: Option<String>,
    /// Its contents.
    pub weights: BlockOrNetwork,
}

impl Source {
    /// The file of --weights.
    pub fn open(args: &WorkloadArgs) -> Result<Option<Self>, CliError> {
        let Some(source) = source_args(args) else { return Ok(None) };
        let weights = block_or_network::open(&source, &args.shape.settings)?;
        Ok(Some(Self { file: source.weights, prefix: source.prefix, weights }))
    }

    /// A short name: the file's, with the prefix if one was given.
    pub fn name(&self) -> String {
        let file = self
            .file
            .file_name()
            .map_or_else(|| self.file.display().to_string(), |name| name.to_string_lossy().into());
        match self.prefix.as_deref().map(|prefix| prefix.trim_end_matches('.')) {
            None | Some("") => file,
            Some(prefix) => format!("{file}:{prefix}"),
        }
    }

    /// Height and width of the input that the configuration names.
    pub fn size(&self) -> Option<[usize; 2]> {
        let BlockOrNetwork::Network(network) = &self.weights else { return None };
        // An unsupported preprocessing does not matter here.
        let shape = network.config().preprocess().ok()??.preprocess.shape(1).ok()?;
        Some([shape.h, shape.w])
    }

    /// Adds the file to an error that its contents may have caused.
    pub fn blame(&self, error: CliError) -> CliError {
        match error {
            CliError::Library { source: error @ (Error::Weights(_) | Error::Precision(_)) } => {
                CliError::in_file(&self.file)(error)
            }
            error => error,
        }
    }
}
