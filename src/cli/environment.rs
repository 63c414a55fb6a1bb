//! The environment variables that drivers read.

use std::path::Path;

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
