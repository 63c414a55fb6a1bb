//! The arguments of `bottleneck embed`.

use std::path::PathBuf;

use clap::Args;

use super::shard::Shard;
use crate::cli::error::CliError;
use crate::cli::network_args::PictureArgs;

/// `bottleneck embed`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every file is a row, in the order of the arguments and within folders sorted by path; hidden files are left out. A file \
that is no picture, is damaged or too large is a row with an error and without a vector, as is one whose vector is not \
finite; exit code 3 says that there are such rows. OUT is one of\n\
\x20 .parquet      columns path, status (ok or error), error, vector (list of f32)\n\
\x20 .npy          [rows, values] f32, NaN where there is no vector; OUT.npy.json has path, status and error of each row\n\
\x20 .safetensors  vectors [rows, values] f32, NaN where there is none; ok [rows] u8; metadata: paths, errors (JSON)\n\
and also holds what made the vectors, and a checksum.\n\
\n\
While it runs, rows go to a journal, .OUT.journal, and at the end to OUT, whole or not at all. Ctrl-C stops after the batch \
under way and writes what was done (exit code 130); a second one stops at once. After that, or a crash, --resume goes on. It \
needs the same network, weights, preprocessing and shard, and leaves out the rows of files that are no longer named.\n\
\n\
Bytes of a name that are not UTF-8 are written as \\xff.")]
pub struct EmbedArgs {
    /// Network and preprocessing.
    #[command(flatten)]
    pub pictures: PictureArgs,
    /// The file to write: .parquet, .npy or .safetensors. It appears whole or not at all; one that is there is replaced.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Go on from what an earlier run left: the rows of OUT, those of its journal, or none.
    #[arg(long)]
    pub resume: bool,
    /// As --resume, and try the pictures again that have an error.
    #[arg(long)]
    pub retry_failed: bool,
    /// Take part i of n: every n-th file. Each part needs an OUT of its own.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Pictures, and folders of them.
    #[arg(value_name = "DIRS", required = true)]
    pub paths: Vec<PathBuf>,
}

impl EmbedArgs {
    /// Whether rows of an earlier run are wanted.
    pub fn resumes(&self) -> bool {
        self.resume || self.retry_failed
    }

    /// What must not be written over.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, CliError> {
        Ok(self.paths.iter().cloned().chain(self.pictures.network.inputs()?).collect())
    }
}
