//! The table of the fastest kernels, which `bottleneck tune` writes and `--tuned` of other commands
//! reads.

use std::fs;
use std::path::{Path, PathBuf};

use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::tune::TuningTable;

use super::error::CliError;
use super::output;

/// The kernels of the table in `file`, or of the one in the user's cache directory; `otherwise` if
/// there is no table of this device.
pub fn kernels(
    file: Option<&Path>,
    gpu: &Gpu,
    otherwise: KernelChoice,
) -> Result<KernelChoice, CliError> {
    let path = file.map_or_else(|| default_path(gpu), |file| Ok(file.to_owned()))?;
    if file.is_some() {
        fs::metadata(&path).map_err(|source| CliError::io(&path, source))?;
    }
    Ok(TuningTable::load(&path, gpu).map_or_else(
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

/// The path of the table in the user's cache directory.
pub(super) fn default_path(gpu: &Gpu) -> Result<PathBuf, CliError> {
    let nowhere =
        || CliError::Usage("there is no cache directory (HOME is not set): name a file".to_owned());
    TuningTable::default_path(gpu).ok_or_else(nowhere)
}
