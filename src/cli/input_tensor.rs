//! The input tensor of a command, read from a file.

use std::path::Path;

use wgpu_bottleneck::{HostTensor, StateDict};

use super::error::CliError;

/// The tensor `input` of a file.
pub fn read_input(path: &Path) -> Result<HostTensor, CliError> {
    StateDict::open(path)?.nchw("input").map_err(CliError::in_file(path))
}
