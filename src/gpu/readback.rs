//! Reads results back, and never from a device that reported an error.

use std::future::poll_fn;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::Poll;
use std::time::Duration;

use wgpu::{Buffer, BufferAsyncError, BufferUsages, MapMode};

use super::Gpu;
use crate::error::{GpuError, Result};

/// How long the mapping may take after its work is done: another thread that waits on the same
/// device may be processing it.
const DELIVERY: Duration = Duration::from_secs(10);

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

    fn start_download(&self, buffer: &Buffer, bytes: u64) -> Result<Readback, GpuError> {
        let staging =
            self.buffer("staging", bytes, BufferUsages::COPY_DST | BufferUsages::MAP_READ)?;
        let inner = &self.inner;
        inner.monitor.guarded(&inner.device, "downloading", || {
            let mut copy =
                inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            copy.copy_buffer_to_buffer(buffer, 0, &staging, 0, bytes);
            inner.queue.submit([copy.finish()]);
        })?;
        Readback::start(self, &staging)
    }
}

/// A pending mapping.
pub(super) struct Readback {
    gpu: Gpu,
    staging: Buffer,
    mapped: Receiver<Result<(), BufferAsyncError>>,
}

impl Readback {
    /// Maps a whole staging buffer, after everything submitted so far.
    pub fn start(gpu: &Gpu, staging: &Buffer) -> Result<Self, GpuError> {
        let (sender, mapped) = channel();
        let inner = &gpu.inner;
        inner.monitor.guarded(&inner.device, "mapping", || {
            // The receiver is gone if the result is no longer awaited.
            staging.map_async(MapMode::Read, .., move |result| drop(sender.send(result)));
        })?;
        Ok(Self { gpu: gpu.clone(), staging: staging.clone(), mapped })
    }

    /// Blocks until the bytes are available; returns the result of `read`.
    pub fn wait<T>(self, read: impl FnOnce(&[u8]) -> T) -> Result<T, GpuError> {
        self.gpu.inner.monitor.wait(&self.gpu.inner.device)?;
        let answer = self.mapped.recv_timeout(DELIVERY);
        self.finish(answer.ok(), read)
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
        match self.staging.get_mapped_range(..) {
            Ok(view) => Ok(read(&view)),
            Err(error) => {
                // Another thread may have destroyed the device since.
                monitor.check_alive(device)?;
                Err(GpuError::Device {
                    doing: "reading the result back",
                    reason: error.to_string(),
                })
            }
        }
    }
}

impl Drop for Readback {
    /// Makes the buffer usable again, whether it ended with a result, an error or a dropped future.
    fn drop(&mut self) {
        let inner = &self.gpu.inner;
        // When the device is lost, wgpu has destroyed the buffer, and reports the call as an error.
        inner.monitor.cleaning_up(&inner.device, || self.staging.unmap());
    }
}
