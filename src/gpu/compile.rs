//! Compiles kernels on first use. The kernels of a recording are compiled on several threads while
//! another thread uploads the weights.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Gpu;
use super::kept_pipelines::KeptPipelines;
use super::pipeline::{Pipeline, checked_source};
use crate::error::{GpuError, Result};
use crate::kernel::Kernel;
use crate::shader::Extensions;

/// The stack of a thread that compiles. Drivers' compilers recurse deeply, and are tested on main
/// threads, which have 8 MiB on Linux and macOS.
const COMPILER_STACK: usize = 8 << 20;

impl Gpu {
    /// The compiled kernel; compiled on first use, then cached.
    pub(super) fn pipeline(&self, kernel: Kernel) -> Result<Arc<Pipeline>, GpuError> {
        if let Some(pipeline) = self.compiled(kernel) {
            return Ok(pipeline);
        }
        let name = kernel.name();
        let source = kernel.source_with(&self.inner.patches);
        let source = source.map_err(|error| GpuError::Shader {
            kernel: name.clone(),
            reason: error.to_string(),
        })?;
        // Without the lock, so that several threads can compile; if two compile the same kernel,
        // the first result is kept.
        let compiled = self.compile(&name, &source, kernel.extensions());
        if let Err(GpuError::Compile { kernel, .. }) = &compiled {
            self.keep_refused(kernel);
        }
        let pipeline = Arc::new(compiled?);
        let mut pipelines = self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(pipelines.entry(kernel).or_insert(pipeline).clone())
    }

    /// The kernel if it has been compiled.
    fn compiled(&self, kernel: Kernel) -> Option<Arc<Pipeline>> {
        self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(&kernel).cloned()
    }

    /// Compiles a kernel from its source.
    pub(super) fn compile(
        &self,
        name: &str,
        source: &str,
        extensions: Extensions,
    ) -> Result<Pipeline, GpuError> {
        let (shader, reflection) = checked_source(name, source, extensions, self.capabilities())?;
        let (inner, mut alive, mut valid) = (&self.inner, false, true);
        let compiled = inner.monitor.guarded(&inner.device, "compiling a kernel", || {
            let cache = inner.kept_pipelines.get().map(|kept| &kept.cache);
            let checks = self.runtime_checks();
            // On a device that another thread has just lost, no pipeline is valid.
            let before = || alive = inner.monitor.is_alive(&inner.device);
            let pipeline =
                Pipeline::new(&inner.device, name, shader, &reflection, checks, cache, before);
            valid = pipeline.is_valid(&inner.device);
            pipeline
        });
        compiled.map_err(|error| match error {
            GpuError::Lost { reason } if alive && !valid => {
                GpuError::Compile { kernel: name.to_owned(), reason }
            }
            GpuError::Device { reason, .. } => {
                GpuError::Compile { kernel: name.to_owned(), reason }
            }
            other => other,
        })
    }

    /// Runs `meanwhile` on this thread while other threads compile the kernels, each once; at most
    /// as many threads as kernels or cores. On systems without threads, the kernels are compiled
    /// when [`Gpu::pipeline`] requests them.
    ///
    /// # Errors
    /// The first compilation error, or the error of `meanwhile`. Either stops the other soon.
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
        let kept = self.inner.kept_pipelines.get().filter(|_| !missing.is_empty());
        let compiling = kept.and_then(KeptPipelines::compiling);
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None::<GpuError>));
        let stop = || next.store(missing.len(), Ordering::Relaxed);
        let compile = || {
            while let Some(&kernel) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.pipeline(kernel) {
                    stop();
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    // The kernel that failed first takes precedence over the loss that it caused.
                    match (&*failed, &error) {
                        (None, _) => *failed = Some(error),
                        (Some(GpuError::Compile { .. }), _) => {}
                        (Some(_), GpuError::Compile { .. }) => *failed = Some(error),
                        (Some(_), _) => {}
                    }
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(missing.len());
        let done = thread::scope(|scope| {
            for _ in 0..threads {
                if thread::Builder::new()
                    .name("compile".to_owned())
                    .stack_size(COMPILER_STACK)
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
        });
        drop(compiling);
        let done = match (done, failed.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            // It may be why the other work failed.
            (_, Some(error @ GpuError::Compile { .. })) => return Err(error.into()),
            (Err(error), _) => return Err(error),
            (Ok(_), Some(error)) => return Err(error.into()),
            (Ok(done), None) => done,
        };
        if !missing.is_empty() {
            self.save_pipelines()?;
        }
        Ok(done)
    }

    /// Writes the compiled pipelines to their cache file, if there is one.
    fn save_pipelines(&self) -> Result<(), GpuError> {
        let inner = &self.inner;
        let Some(kept) = inner.kept_pipelines.get() else { return Ok(()) };
        let data =
            inner.monitor.guarded(&inner.device, "saving pipelines", || kept.cache.get_data())?;
        if let Some(data) = data {
            kept.save(&data);
        }
        Ok(())
    }
}
