//! Checks through wgpu whether a device is lost. If an app owns the device, its lost callback
//! belongs to the app.

use wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, ErrorFilter, Queue};

/// Checks whether wgpu still accepts work for a device. wgpu does not report when it stops: it
/// drops all work for a device that is lost or was destroyed, and no error scope sees an error. So
/// this makes a call that wgpu rejects on every working device, before the driver or any memory is
/// involved. No validation error means that the device is lost.
#[derive(Debug, Clone)]
pub(super) struct LossCheck {
    queue: Queue,
    /// The target of a write at an offset that wgpu rejects.
    target: Buffer,
}

impl LossCheck {
    /// A check for this device; `None` if it is already lost.
    pub fn new(device: &Device, queue: &Queue) -> Option<Self> {
        let buffer = |usage| {
            let label = Some("is the device lost?");
            device.create_buffer(&BufferDescriptor {
                label,
                size: 16,
                usage,
                mapped_at_creation: false,
            })
        };
        // `target` of a lost device is an invalid buffer, and writes to it are always errors. Only
        // a working device refuses a buffer without a usage.
        if !refuses(device, || drop(buffer(BufferUsages::empty()))) {
            return None;
        }
        // Memory may be used up; the later checks then find the device working.
        let scope = device.push_error_scope(ErrorFilter::OutOfMemory);
        let target = buffer(BufferUsages::COPY_DST);
        drop(pollster::block_on(scope.pop()));
        Some(Self { queue: queue.clone(), target })
    }

    /// Whether the device is lost or destroyed. Takes about a microsecond.
    pub fn is_lost(&self, device: &Device) -> bool {
        !refuses(device, || self.queue.write_buffer(&self.target, 1, &[]))
    }
}

/// Whether a call is a validation error.
fn refuses(device: &Device, call: impl FnOnce()) -> bool {
    let scope = device.push_error_scope(ErrorFilter::Validation);
    call();
    // On native backends the future is ready at once.
    pollster::block_on(scope.pop()).is_some()
}
