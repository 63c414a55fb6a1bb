//! Reads results back, and never from a device that reported an error.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use wgpu::{Buffer, BufferAsyncError, CommandEncoder, MapMode};

use super::Gpu;
use super::proof::{DID_NOT_RUN, Expected, NUMBER_BYTES, Path, Proof};
use crate::error::{GpuError, Result};

/// How long the mapping may take after its work is done: another thread that waits on the same
/// device may be processing it.
const DELIVERY: Duration = Duration::from_secs(10);

/// What errors of a mapping happened in.
const READING: &str = "reading the result back";

impl Gpu {
    /// The bytes of a buffer with usage `COPY_SRC`.
    ///
    /// # Errors
    /// As [`Executor::run`](super::Executor::run).
    pub fn download(&self, buffer: &Buffer) -> Result<Vec<u8>> {
        Ok(self.start_download(buffer, buffer.size())?.wait(<[u8]>::to_vec)?)
    }

    /// Passes the first bytes of a buffer with usage `COPY_SRC` to `read`.
    pub(super) fn download_first<T>(
        &self,
        buffer: &Buffer,
        bytes: u64,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        Ok(self.start_download(buffer, bytes)?.wait(read)?)
    }

    /// [`Gpu::download`] for async callers. On native backends, the future polls the device
    /// whenever it is polled.
    ///
    /// # Errors
    /// As [`Gpu::download`].
    pub async fn download_async(&self, buffer: &Buffer) -> Result<Vec<u8>> {
        Ok(self.start_download(buffer, buffer.size())?.wait_async(<[u8]>::to_vec).await?)
    }

    fn start_download(&self, buffer: &Buffer, bytes: u64) -> Result<Readback> {
        self.submit_and_read("downloading", bytes, |encoder, staging| {
            encoder.copy_buffer_to_buffer(buffer, 0, staging, 0, bytes);
        })
    }

    /// Submits the writes of the host since the last submit, waits for them, and checks that they
    /// were executed.
    pub(super) fn finish_uploads(&self) -> Result<()> {
        if cfg!(target_family = "wasm") {
            // A page must not block; browsers report the errors of their work themselves.
            let inner = &self.inner;
            inner.monitor.guarded(&inner.device, "uploading", || inner.queue.submit([]))?;
            return Ok(());
        }
        Ok(self.submit_and_read("uploading", 0, |_, _| ())?.wait(|_| ())?)
    }

    /// Submits a command buffer that writes this many bytes, a multiple of 4, into a staging
    /// buffer.
    pub(super) fn submit_and_read(
        &self,
        doing: &'static str,
        bytes: u64,
        encode: impl FnOnce(&mut CommandEncoder, &Buffer),
    ) -> Result<Readback> {
        let mut proof = self.inner.proof.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = match &*proof {
            Some(proof) => proof,
            None => proof.insert(self.proof(1, 1)?),
        };
        self.submit_proven(doing, bytes, proof, |encoder, staging, _| {
            encode(encoder, staging);
            Ok(())
        })
    }

    /// [`Gpu::submit_and_read`] for commands with compute passes or errors, with words for their
    /// number that no other thread uses.
    pub(super) fn submit_proven(
        &self,
        doing: &'static str,
        bytes: u64,
        proof: &Arc<Proof>,
        encode: impl FnOnce(&mut CommandEncoder, &Buffer, &mut Path) -> Result<()>,
    ) -> Result<Readback> {
        let (staging, inner) = (Staging::new(self, bytes)?, &self.inner);
        let mut encoder = self.encoder(doing)?;
        let begin = || proof.begin(&inner.queue, 0);
        let mut path = inner.monitor.guarded(&inner.device, doing, begin)?;
        encode(&mut encoder, &staging.buffer, &mut path)?;
        inner.monitor.guarded(&inner.device, doing, || {
            path.bring_back(&mut encoder, &staging.buffer, bytes);
            inner.queue.submit([encoder.finish()]);
        })?;
        Ok(Readback::start(self, &staging, bytes, path.expected())?)
    }
}

/// A buffer for reading back, reused between runs.
#[derive(Debug, Clone)]
pub(super) struct Staging {
    pub buffer: Buffer,
    /// Whether a mapping of it was started and did not end. wgpu would take it for a later one.
    pending: Arc<AtomicBool>,
}

impl Staging {
    /// For this many bytes and a number.
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self, GpuError> {
        Ok(Self { buffer: gpu.staging_buffer(bytes)?, pending: Arc::default() })
    }

    /// Whether a run was cancelled before its mapping ended.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }
}

/// A pending mapping.
pub(super) struct Readback {
    gpu: Gpu,
    staging: Staging,
    mapped: Receiver<Result<(), BufferAsyncError>>,
    /// Bytes of the results.
    bytes: u64,
    /// The number that the work brings back behind the results.
    expected: Expected,
}

impl Readback {
    /// Maps a staging buffer, after everything submitted so far: results of this many bytes, and
    /// behind them the number of the work that wrote them.
    pub fn start(
        gpu: &Gpu,
        staging: &Staging,
        bytes: u64,
        expected: Expected,
    ) -> Result<Self, GpuError> {
        let (sender, mapped) = channel();
        let inner = &gpu.inner;
        inner.monitor.guarded(&inner.device, "mapping", || {
            // The receiver is gone if the result is no longer awaited.
            staging.pending.store(true, Ordering::Release);
            let buffer = &staging.buffer;
            buffer.map_async(MapMode::Read, .., move |result| drop(sender.send(result)));
        })?;
        Ok(Self { gpu: gpu.clone(), staging: staging.clone(), mapped, bytes, expected })
    }

    /// Blocks until the bytes are available; returns the result of `read`.
    pub fn wait<T>(self, read: impl FnOnce(&[u8]) -> T) -> Result<T, GpuError> {
        self.gpu.inner.monitor.wait(&self.gpu.inner.device)?;
        let answer = match self.mapped.recv_timeout(DELIVERY) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let reason = format!("the mapping was not reported within {DELIVERY:?}");
                return Err(GpuError::Device { doing: READING, reason });
            }
        };
        self.finish(answer, read)
    }

    /// [`Readback::wait`] that polls the device each time it is polled.
    pub async fn wait_async<T>(self, read: impl FnOnce(&[u8]) -> T) -> Result<T, GpuError> {
        let answer = poll_fn(|context| {
            if let Err(error) = self.gpu.inner.monitor.poll(&self.gpu.inner.device) {
                return Poll::Ready(Err(error));
            }
            match self.mapped.try_recv() {
                Ok(answer) => Poll::Ready(Ok(Some(answer))),
                Err(TryRecvError::Disconnected) => Poll::Ready(Ok(None)),
                Err(TryRecvError::Empty) => {
                    // wgpu does not wake tasks on native backends, so the task asks to be polled
                    // again.
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await?;
        self.finish(answer, read)
    }

    fn finish<T>(
        self,
        answer: Option<Result<(), BufferAsyncError>>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, GpuError> {
        let (monitor, device) = (&self.gpu.inner.monitor, &self.gpu.inner.device);
        monitor.check_alive(device)?;
        if !matches!(answer, Some(Ok(()))) {
            return Err(monitor.lost(device, "reading the result back failed".to_owned()));
        }
        self.staging.pending.store(false, Ordering::Release);
        match self.staging.buffer.get_mapped_range(..) {
            Ok(view) => {
                let (results, behind) = view.split_at(self.bytes as usize);
                if !self.expected.is_in(&behind[..NUMBER_BYTES as usize]) {
                    return Err(monitor.lost(device, DID_NOT_RUN.to_owned()));
                }
                Ok(read(results))
            }
            Err(error) => {
                // Another thread may have destroyed the device since.
                monitor.check_alive(device)?;
                Err(GpuError::Device { doing: READING, reason: error.to_string() })
            }
        }
    }
}

impl Drop for Readback {
    /// Makes the buffer usable again, whether it ended with a result, an error or a dropped future.
    fn drop(&mut self) {
        let inner = &self.gpu.inner;
        // When the device is lost, wgpu has destroyed the buffer, and reports the call as an error.
        inner.monitor.cleaning_up(&inner.device, || self.staging.buffer.unmap());
    }
}
