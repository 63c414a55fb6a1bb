//! Times and memory, measured by one test at a time.

mod common;
mod cost;
mod loading;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a test measures.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
