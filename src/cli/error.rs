//! The errors of commands, and their exit codes.

use std::path::{Path, PathBuf};

use wgpu_bottleneck::Error;
use wgpu_bottleneck::error::{ErrorKind, GpuError};

/// A check found a wrong result.
const EXIT_WRONG: u8 = 1;
/// Bad usage or bad input.
pub const EXIT_USAGE: u8 = 2;
/// The command ran, but some images failed.
const EXIT_INCOMPLETE: u8 = 3;
/// A GPU failure, a lack of memory or a bug in this program.
pub const EXIT_GPU: u8 = 4;
/// Ctrl-C, by the convention of shells.
pub const EXIT_INTERRUPTED: u8 = 130;

/// The error that ended a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An error of the library.
    #[error("{source}{}", advice(source))]
    Library {
        /// The error.
        #[from]
        source: Error,
    },
    /// An error of the library, with what to do.
    #[error("{source}{advice}")]
    Advised {
        /// The error.
        source: Error,
        /// It begins with a separator.
        advice: String,
    },
    /// An error of the library about the contents of a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents.
        source: Error,
    },
    /// A file of weights holds neither a block nor a network.
    #[error(
        "{}: neither a block nor a network; read as a block: {block}; read as a network: \
        {network}; --prefix selects a part of a file",
        path.display()
    )]
    Neither {
        /// The file.
        path: PathBuf,
        /// Why it is not a block.
        block: String,
        /// Why it is not a network.
        network: String,
    },
    /// Invalid arguments that clap does not detect.
    #[error("{0}")]
    Usage(String),
    /// No kernel's name contains the requested text.
    #[error("no kernel's name contains {name:?}; some of the {all}: {}", some.join(", "))]
    NoKernel {
        /// The requested text.
        name: String,
        /// One name per family.
        some: Vec<String>,
        /// How many kernels there are.
        all: usize,
    },
    /// A language can express none of the requested kernels.
    #[error("{kernel}{} cannot be written as {target}: {reason}", others(*more))]
    NotExpressible {
        /// The first of them.
        kernel: String,
        /// The number of the others.
        more: usize,
        /// The language.
        target: &'static str,
        /// Why the first cannot be expressed.
        reason: String,
    },
    /// A file to compare is not a report of `bench`.
    #[error("{}: not a report of `bottleneck bench --json`: {reason}", path.display())]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint of training has a checksum or a number that no run writes.
    #[error(
        "{}: its {name} is {found}, expected {expected}: the checkpoint is damaged: restore it \
        from a copy, or choose another --out",
        path.display()
    )]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// The name of the number.
        name: String,
        /// The number in the file, or the checksum of its bytes.
        found: String,
        /// The numbers that a run can have, or the checksum in the file.
        expected: String,
    },
    /// Two reports have different workloads.
    #[error("{} and {} cannot be compared: {reason}", before.display(), after.display())]
    NotComparable {
        /// The first file.
        before: PathBuf,
        /// The second one.
        after: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A result is beyond tolerance.
    #[error("verification failed: {0}")]
    Wrong(String),
    /// A self test failed.
    #[error("self test failed: {0}")]
    Failed(String),
    /// A kernel that ranks first is slower than `--assert` allows.
    #[error("{0}")]
    TooSlow(String),
    /// Some images failed.
    #[error("{0}")]
    Incomplete(String),
    /// The device or the host ran out of memory on some images; the others were processed.
    #[error("{0}")]
    OutOfMemory(String),
    /// Ctrl-C; the work done so far is saved.
    #[error("{0}")]
    Interrupted(String),
    /// The reader of stdout closed it.
    #[error("stdout is closed")]
    OutputClosed,
}

impl CliError {
    /// An I/O error of a file.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_owned(), source }.into()
    }

    /// Adds the name of the file to an error.
    pub fn in_file(path: &Path) -> impl FnOnce(Error) -> Self {
        move |source| Self::InFile { path: path.to_owned(), source }
    }

    /// Whether the host or the device ran out of memory. The same command may succeed later.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Library { source } | Self::InFile { source, .. } => source.is_out_of_memory(),
            Self::OutOfMemory(_) => true,
            _ => false,
        }
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Wrong(_) | Self::Failed(_) | Self::TooSlow(_) => EXIT_WRONG,
            Self::Incomplete(_) => EXIT_INCOMPLETE,
            Self::OutOfMemory(_) => EXIT_GPU,
            Self::Interrupted(_) => EXIT_INTERRUPTED,
            Self::Library { source: error }
            | Self::Advised { source: error, .. }
            | Self::InFile { source: error, .. } => match error.kind() {
                _ if no_driver(error) => EXIT_GPU,
                ErrorKind::Gpu | ErrorKind::Memory => EXIT_GPU,
                _ => EXIT_USAGE,
            },
            Self::Usage(_)
            | Self::NoKernel { .. }
            | Self::NotExpressible { .. }
            | Self::OutputClosed => EXIT_USAGE,
            Self::NotAReport { .. }
            | Self::NotComparable { .. }
            | Self::DamagedCheckpoint { .. }
            | Self::Neither { .. } => EXIT_USAGE,
        }
    }
}

impl From<GpuError> for CliError {
    fn from(error: GpuError) -> Self {
        Self::Library { source: error.into() }
    }
}

/// Whether the machine has no adapter at all, so that other arguments would not help.
fn no_driver(error: &Error) -> bool {
    matches!(error, Error::Gpu(GpuError::NoAdapter { present, .. }) if present.is_empty())
}

/// What to do about an error, if its message does not say it.
fn advice(error: &Error) -> &'static str {
    match error {
        _ if no_driver(error) => {
            "\ninstall a GPU driver, or a software one (Debian, Ubuntu: mesa-vulkan-drivers), or \
            run through scripts/with-gpu"
        }
        Error::Gpu(GpuError::NoDevice { others, .. }) if !others.is_empty() => {
            "; --adapter INDEX picks one"
        }
        Error::Gpu(GpuError::Compile { .. }) => {
            "; start again: other kernels are used where there are any"
        }
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge => {
            ": the file size limit is reached; raise it (ulimit -f), or use another file system"
        }
        _ => "",
    }
}

/// ` and 3 more`, or nothing.
fn others(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}
