//! Runs work on several devices in parallel.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::{GpuError, Result};
use crate::gpu::Gpu;

/// The first of some devices.
///
/// # Errors
/// [`GpuError::NoAdapter`] if there is none.
pub(super) fn first(gpus: &[Gpu]) -> Result<&Gpu> {
    let none =
        || GpuError::NoAdapter { wanted: "at least one device".to_owned(), present: Vec::new() };
    Ok(gpus.first().ok_or_else(none)?)
}

/// The results of `work` for each item, in the order of the items. Each device takes the next item
/// when it is done with one. The first device works on the calling thread, each other one on a
/// separate thread.
///
/// # Errors
/// The first error of `work`, after which no device takes another item; and as [`first`].
pub(super) fn each<T: Sync, R: Send>(
    gpus: &[Gpu],
    items: &[T],
    work: impl Fn(&Gpu, &T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    first(gpus)?;
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<R>)>> = Mutex::new(Vec::with_capacity(items.len()));
    let run = |gpu: &Gpu| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = work(gpu, item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    thread::scope(|scope| {
        for gpu in &gpus[1..] {
            // Without another thread the devices before it do its work.
            if thread::Builder::new().spawn_scoped(scope, || run(gpu)).is_err() {
                break;
            }
        }
        run(&gpus[0]);
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
