//! Ctrl-C: the first one asks for an end, the second one is it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::EXIT_INTERRUPTED;
use super::output;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is heeded, not obeyed at once, but after `what` is done.
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

/// Whether an end was asked for.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Ends the process without what drivers do at an orderly end: their threads are at work, and some crash.
#[cfg(unix)]
fn end() -> ! {
    // SAFETY: _exit takes a number and does not return; that nothing is flushed or unwound is what it is for.
    unsafe { libc::_exit(EXIT_INTERRUPTED.into()) }
}

#[cfg(not(unix))]
fn end() -> ! {
    std::process::exit(EXIT_INTERRUPTED.into())
}
