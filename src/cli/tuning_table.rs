//! The table of the fastest kernels, which `bottleneck tune` writes and `--tuned` of other commands
//! reads.

use std::path::{Path, PathBuf};

use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::tune::TuningTable;

use super::error::CliError;
use super::{input_file, output};

/// The maximum size of a table in bytes, as in the library.
const MOST_BYTES: u64 = 64 << 20;

/// The kernels of the table in `file`, or of the one in the user's cache directory; `otherwise` if
/// there is no table of this device.
pub fn kernels(
    file: Option<&Path>,
    gpu: &Gpu,
    otherwise: KernelChoice,
) -> Result<KernelChoice, CliError> {
    let path = file.map_or_else(|| default_path(gpu), |file| Ok(file.to_owned()))?;
    let table = match file {
        None => TuningTable::load(&path, gpu),
        Some(file) => TuningTable::parse(&text(file)?, gpu)
            .map_err(|error| {
                output::progress(&format!("warning: {} is ignored: {error}", file.display()));
            })
            .ok(),
    };
    Ok(table.map_or_else(
        || {
            let path = path.display();
            output::progress(&format!(
                "warning: {path} has no times of this device: using the kernels that rank first"
            ));
            otherwise
        },
        |table| table.kernels(),
    ))
}

/// The text of a table.
pub(super) fn text(file: &Path) -> Result<String, CliError> {
    input_file::text(file, "a table of kernels", MOST_BYTES)
}

/// The path of the table in the user's cache directory.
pub(super) fn default_path(gpu: &Gpu) -> Result<PathBuf, CliError> {
    let nowhere =
        || CliError::Usage("there is no cache directory (HOME is not set): name a file".to_owned());
    TuningTable::default_path(gpu).ok_or_else(nowhere)
}
