//! Compiles the kernels of a recording on several threads while another thread uploads the weights.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Gpu;
use crate::error::{GpuError, Result};
use crate::kernel::Kernel;

impl Gpu {
    /// Runs `meanwhile` on this thread while other threads compile the kernels, each once; at most
    /// as many threads as kernels or cores. On systems without threads, the kernels are compiled
    /// when [`Gpu::pipeline`] requests them.
    ///
    /// # Errors
    /// The error of `meanwhile`, otherwise the first compilation error. Either stops the other
    /// soon.
    pub(super) fn compile_while<T>(
        &self,
        kernels: &[Kernel],
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut missing: Vec<Kernel> = Vec::new();
        for &kernel in kernels {
            if !missing.contains(&kernel) && self.compiled(kernel).is_none() {
                missing.push(kernel);
            }
        }
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None::<GpuError>));
        let stop = || next.store(missing.len(), Ordering::Relaxed);
        let compile = || {
            while let Some(&kernel) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.pipeline(kernel) {
                    stop();
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(missing.len());
        let done = thread::scope(|scope| {
            for _ in 0..threads {
                if thread::Builder::new()
                    .name("compile".to_owned())
                    .spawn_scoped(scope, compile)
                    .is_err()
                {
                    break;
                }
            }
            let done = meanwhile();
            if done.is_err() {
                stop();
            }
            done
        })?;
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => {
                if !missing.is_empty() {
                    self.save_pipelines();
                }
                Ok(done)
            }
            Some(error) => Err(error.into()),
        }
    }
}
