//! Device errors, device loss, and panics of wgpu when it works on a failing device.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock, TryLockError};
use std::thread;
use std::time::Duration;

use wgpu::{Backend, Device, DeviceLostReason, ErrorFilter, PollError, PollType, Queue};

use super::contain::{contain, first_line, one_line};
use super::loss_check::LossCheck;
use crate::error::GpuError;

/// The first error of a device outside of any error scope.
type Trouble = Arc<Mutex<Option<GpuError>>>;

/// A pause between two waits for the same work.
const BETWEEN_WAITS: Duration = Duration::from_millis(1);

/// How long work in flight on a lost device is waited for.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The filters of the error scopes around our work.
const FILTERS: [ErrorFilter; 3] =
    [ErrorFilter::Internal, ErrorFilter::Validation, ErrorFilter::OutOfMemory];

/// Watches a device. Our own device reports every error and its loss here. The handlers of a
/// borrowed device belong to its app and are not changed; error scopes report the errors of our
/// calls. After every call, a [`LossCheck`] checks whether the device is lost. A panic of wgpu
/// counts as the loss of the device. A loss is permanent.
#[derive(Debug, Clone)]
pub(super) struct Monitor {
    trouble: Trouble,
    /// Whether the handlers are installed.
    installed: bool,
    queue: Queue,
    /// Whether the device is never dropped, see [`Monitor::keep_forever`].
    kept: Arc<AtomicBool>,
    /// Locked while wgpu works on backends that two threads must not call at once: the GL backend
    /// panics if a thread waits a second for the context that another one holds.
    turns: Option<Arc<Mutex<()>>>,
    /// Read-locked during each call of wgpu. A poll of a lost device needs it alone: wgpu 30 then
    /// destroys buffers, and waits for a thread that writes a texture and waits for it.
    calls: Arc<RwLock<()>>,
    /// `None` if the device was lost from the start.
    loss: Option<LossCheck>,
}

impl Monitor {
    /// Watches a borrowed device, only through its calls.
    pub fn borrowed(device: &Device, queue: &Queue, backend: Backend) -> Self {
        let turns = (backend == Backend::Gl).then(Arc::default);
        // A device on which this panics counts as lost.
        let loss = contain("testing the device", || LossCheck::new(device, queue)).ok().flatten();
        Self {
            trouble: Trouble::default(),
            installed: false,
            queue: queue.clone(),
            kept: Arc::default(),
            turns,
            calls: Arc::default(),
            loss,
        }
    }

    /// Installs the handlers on our own device.
    pub fn install(device: &Device, queue: &Queue, backend: Backend) -> Self {
        let monitor = Self { installed: true, ..Self::borrowed(device, queue, backend) };
        let trouble = monitor.trouble.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            tracing::error!(%error, "uncaptured wgpu error");
            remember(&trouble, convert(&error, "working"));
        }));
        let trouble = monitor.trouble.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = match reason {
                DeviceLostReason::Destroyed => "wgpu::Device::destroy was called".to_owned(),
                _ if message.is_empty() => format!("{reason:?}"),
                _ if message == "Device is lost" => "the driver gave no reason".to_owned(),
                _ => first_line(&message),
            };
            remember(&trouble, GpuError::Lost { reason });
        });
        monitor
    }

    /// Whether the device's handlers belong to its app, so that its loss is visible only in the
    /// results of our calls.
    pub fn is_passive(&self) -> bool {
        !self.installed
    }

    /// Returns an error if the device is known to be lost, or reported an error.
    fn check(&self) -> Result<(), GpuError> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            None => Ok(()),
            // A lost device stays lost; any other error is reported once.
            Some(lost @ GpuError::Lost { .. }) => Err(lost.clone()),
            Some(_) => Err(trouble.take().unwrap_or(GpuError::Lost { reason: String::new() })),
        }
    }

    /// Returns an error if the device is lost or destroyed, or reported an error.
    pub fn check_alive(&self, device: &Device) -> Result<(), GpuError> {
        let alive = self.check().and_then(|()| {
            let works = || self.is_alive(device);
            if self.contained(device, "testing the device", works)? {
                return Ok(());
            }
            // wgpu gives the reason to the callback when the device is polled.
            if self.installed && self.poll_lost(device, PollType::Poll) {
                self.check()?;
            }
            Err(self.lost(device, "it was destroyed, or the driver lost it".to_owned()))
        });
        if let Err(GpuError::Lost { .. }) = alive {
            self.keep_forever(device);
        }
        alive
    }

    /// Whether wgpu takes work for the device, within other work on it.
    pub fn is_alive(&self, device: &Device) -> bool {
        self.loss.as_ref().is_some_and(|loss| !loss.is_lost(device))
    }

    /// Remembers that the device is lost. Returns the error, with the first reason.
    pub fn lost(&self, device: &Device, reason: String) -> GpuError {
        let lost = GpuError::Lost { reason };
        remember(&self.trouble, lost.clone());
        self.keep_forever(device);
        self.check().err().unwrap_or(lost)
    }

    /// Never drops a device of ours that has failed. wgpu 30 cannot destroy such a device safely:
    /// after a failed `vkCreateSemaphore` it destroys another semaphore twice, which crashes
    /// drivers, and after a failed `vkEndCommandBuffer` it panics.
    fn keep_forever(&self, device: &Device) {
        static SAID: Once = Once::new();
        if self.installed && !self.kept.swap(true, Ordering::Relaxed) {
            std::mem::forget((device.clone(), self.queue.clone()));
            SAID.call_once(|| {
                tracing::warn!("a lost device keeps its memory until the process ends");
            });
        }
    }

    /// Waits for the last work of a device of ours that is lost: a driver can crash if the process
    /// ends while its threads still work. Call it when nothing else uses the device.
    pub fn finish_last_work(&self, device: &Device) {
        if self.kept.load(Ordering::Relaxed) {
            let timeout = Some(LAST_WAIT);
            self.poll_lost(device, PollType::Wait { submission_index: None, timeout });
        }
    }

    /// Polls a lost device, unless a thread is in a call of wgpu. Returns whether it did.
    fn poll_lost(&self, device: &Device, how: PollType) -> bool {
        let alone = match self.calls.try_write() {
            Err(TryLockError::WouldBlock) => return false,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Ok(alone) => alone,
        };
        let _turn = self.turn();
        let polled = contain("polling a lost device", || device.poll(how)).is_ok();
        drop(alone);
        polled
    }

    /// Runs work of wgpu. A panic counts as the loss of the device.
    fn contained<T>(
        &self,
        device: &Device,
        doing: &'static str,
        work: impl FnOnce() -> T,
    ) -> Result<T, GpuError> {
        let _turn = self.turn();
        let _call = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        contain(doing, work).map_err(|reason| self.lost(device, reason))
    }

    /// The lock for this thread, on backends that need it.
    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.turns.as_ref().map(|turns| turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs synchronous work on the device inside error scopes of this thread. The work counts only
    /// if the device still takes work afterwards: wgpu drops work for a lost device.
    pub fn guarded<T>(
        &self,
        device: &Device,
        doing: &'static str,
        work: impl FnOnce() -> T,
    ) -> Result<T, GpuError> {
        self.check()?;
        let (value, error) = self.scoped(device, doing, work);
        self.check_alive(device)?;
        match error {
            None => value,
            Some(error) => Err(match convert(&error, doing) {
                GpuError::Lost { reason } => self.lost(device, reason),
                other => other,
            }),
        }
    }

    /// Runs work that releases something. Its errors are ignored and reach no handler.
    pub fn cleaning_up(&self, device: &Device, work: impl FnOnce()) {
        let _ = self.scoped(device, "cleaning up", work);
    }

    /// Runs work inside error scopes of this thread. Returns its value and its first error.
    fn scoped<T>(
        &self,
        device: &Device,
        doing: &'static str,
        work: impl FnOnce() -> T,
    ) -> (Result<T, GpuError>, Option<wgpu::Error>) {
        let scopes = FILTERS.map(|filter| device.push_error_scope(filter));
        let value = self.contained(device, doing, work);
        // Scopes pop in reverse order; on native backends the futures are ready at once.
        let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
        (value, errors.fold(None, Option::or))
    }

    /// Waits until all submitted work is done.
    pub fn wait(&self, device: &Device) -> Result<(), GpuError> {
        // On OpenGL, wgpu ends a wait after 2.1 seconds, whatever the limit. Between two waits
        // other threads get their turn.
        while !self.polled(device, "waiting", PollType::wait_indefinitely())? {
            thread::sleep(BETWEEN_WAITS);
        }
        self.check_alive(device)
    }

    /// Lets the device make progress without waiting.
    pub fn poll(&self, device: &Device) -> Result<(), GpuError> {
        self.polled(device, "polling", PollType::Poll)?;
        self.check()
    }

    /// Polls the device; false after a timeout. A loss that wgpu reports takes precedence over the
    /// result of the poll.
    fn polled(
        &self,
        device: &Device,
        doing: &'static str,
        how: PollType,
    ) -> Result<bool, GpuError> {
        self.check()?;
        let polled = self.contained(device, doing, || device.poll(how))?;
        self.check()?;
        match polled {
            Ok(_) => Ok(true),
            Err(PollError::Timeout) => Ok(false),
            Err(error) => Err(self.lost(device, first_line(&error.to_string()))),
        }
    }
}

fn remember(trouble: &Trouble, error: GpuError) {
    let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
    // Device loss takes precedence over earlier errors.
    if trouble.is_none() || matches!(error, GpuError::Lost { .. }) {
        *trouble = Some(error);
    }
}

fn convert(error: &wgpu::Error, doing: &'static str) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { doing },
        other => {
            let text = other.to_string();
            if text.to_lowercase().contains("device is lost")
                || text.to_lowercase().contains("device lost")
            {
                GpuError::Lost { reason: first_line(&text) }
            } else {
                GpuError::Device { doing, reason: one_line(&text) }
            }
        }
    }
}
