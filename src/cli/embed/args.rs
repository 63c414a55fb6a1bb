//! The arguments of `bottleneck embed`.

use std::path::PathBuf;

use clap::Args;

use super::shard::Shard;
use crate::cli::error::CliError;
use crate::cli::network_args::ImageArgs;

/// `bottleneck embed`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each image gives one row, in the order of the arguments and within folders sorted by path. In \
folders, hidden files and files that are not images by name and first bytes are left out. An image \
that is damaged or too large gives a row with an error and without a vector, as does an image \
whose vector is not finite; the exit code is then 3. An image on which the device or the \
host runs out of memory gives no row; the others are processed, --resume tries it again, and the \
exit code is then 4. OUT is one of\n\
\x20 .parquet      columns path, status (ok or error), error, vector (list of f32)\n\
\x20 .npy          [rows, values] f32, NaN if there is no vector; OUT.npy.json has path, status \
and error of each row\n\
\x20 .safetensors  vectors [rows, values] f32, NaN if there is none; ok [rows] u8; metadata: \
paths, errors (JSON)\n\
and also contains the settings of the run, and a checksum.\n\
\n\
During the run, rows are written to a journal, .OUT.journal; at the end, they are written \
atomically to OUT. Ctrl-C stops after the current batch and writes the finished rows (exit code \
130); a second Ctrl-C stops at once. After that, or after a crash, --resume continues. It needs \
the same network, weights, preprocessing, layer, normalisation and shard, and drops the rows of \
files that are no longer among the arguments.\n\
\n\
Bytes of a name that are not UTF-8 are written as \\xff.")]
pub struct EmbedArgs {
    /// Network and preprocessing.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The file to write: .parquet, .npy or .safetensors. It is written atomically; an existing
    /// file is replaced.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Continue an earlier run, from the rows in its journal or in OUT, if there are any.
    #[arg(long)]
    pub resume: bool,
    /// Like --resume, and also retry the images that have an error.
    #[arg(long)]
    pub retry_failed: bool,
    /// Process part i of n: every n-th file. Each part needs a separate OUT.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Divide each vector by its L2 norm, so that a dot product is a cosine. A vector of zeros
    /// is not changed.
    #[arg(long)]
    pub normalize: bool,
    /// Write the mean over the pixels of this feature map (stem, layer1, layer2, ...) [default:
    /// the last one]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Images, or folders of images.
    #[arg(value_name = "DIRS", required = true)]
    pub paths: Vec<PathBuf>,
}

impl EmbedArgs {
    /// Whether the run continues an earlier one.
    pub fn resumes(&self) -> bool {
        self.resume || self.retry_failed
    }

    /// The files that must not be overwritten.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, CliError> {
        Ok(self.paths.iter().cloned().chain(self.images.network.inputs()?).collect())
    }
}
