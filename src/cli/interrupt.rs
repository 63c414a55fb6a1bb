//! Ctrl-C: the first one requests a stop, the second one stops at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::EXIT_INTERRUPTED;
use super::output;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C stops the command after `what`, not at once.
pub fn heed(what: &'static str) {
    let handler = move || {
        if ASKED.swap(true, Ordering::SeqCst) {
            end();
        }
        output::progress(&format!("stopping after {what}; Ctrl-C again stops at once"));
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        output::progress(&format!("warning: Ctrl-C will stop at once: {error}"));
    }
}

/// Whether a stop was requested.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Ends the process without the exit handlers of drivers: their threads are still running, and some
/// crash.
#[cfg(unix)]
fn end() -> ! {
    // SAFETY: _exit takes a number and does not return. Skipping flushes and unwinding is intended.
    unsafe { libc::_exit(EXIT_INTERRUPTED.into()) }
}

#[cfg(not(unix))]
fn end() -> ! {
    std::process::exit(EXIT_INTERRUPTED.into())
}
