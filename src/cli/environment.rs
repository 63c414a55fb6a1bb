//! The environment of the process: variables, and the signal of the file size limit.

use std::path::Path;

use wgpu_bottleneck::error::GpuError;

use super::error::CliError;

/// The value of a variable; `None` if it is not set or empty.
pub fn text(variable: &'static str, expected: &'static str) -> Result<Option<String>, CliError> {
    match std::env::var_os(variable).filter(|value| !value.is_empty()).map(|it| it.into_string()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(value)) => {
            let value = value.as_encoded_bytes().escape_ascii().to_string();
            Err(GpuError::Environment { variable, value, expected }.into())
        }
    }
}

/// Makes a write beyond the file size limit (`ulimit -f`) an error. By default, the signal SIGXFSZ
/// ends the process.
pub fn ignore_file_size_signal() {
    #[cfg(unix)]
    // SAFETY: SIG_IGN installs no handler, so no code runs in a signal's context. Both arguments
    // are constants of the system; an error is returned and changes nothing.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Sets `XDG_RUNTIME_DIR` for this process, unless it is set to an absolute path. Mesa's Vulkan
/// layer for device selection looks for a Wayland display, and libwayland prints an error to stderr
/// unless the variable is an absolute path. With a path that does not exist, it finds no display
/// and prints nothing. All other messages of drivers are kept.
///
/// # Safety
/// There must be no other thread.
pub unsafe fn set_runtime_dir() {
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    let has_wayland = cfg!(all(unix, not(target_vendor = "apple")));
    if has_wayland
        && !std::env::var_os(VARIABLE).is_some_and(|folder| Path::new(&folder).is_absolute())
    {
        // SAFETY: the caller promises that no other thread reads or writes the environment.
        unsafe { std::env::set_var(VARIABLE, "/nonexistent") };
    }
}
