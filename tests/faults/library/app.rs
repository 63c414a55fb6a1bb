//! An app that owns a wgpu device.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wgpu_bottleneck::gpu::{AdapterChoice, adapters};
use wgpu_bottleneck::required;
use wgpu_bottleneck::wgpu::{Device, DeviceDescriptor, Queue};

use super::{Failure, Outcome};

/// The app's device. It has no error handler: an error that reaches wgpu's own handler panics.
pub fn device() -> Outcome<(Device, Queue)> {
    let error = |reason: String| Failure::Error(format!("the app has no device: {reason}"));
    let no_adapter = || error(format!("no adapter matches {}", AdapterChoice::Best));
    let adapter = adapters()?.into_iter().next().ok_or_else(no_adapter)?;
    let (required_features, required_limits) = required(&adapter);
    let descriptor = DeviceDescriptor { required_features, required_limits, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).map_err(|wgpu| error(wgpu.to_string()))
}

thread_local! {
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// A call of wgpu that the app makes itself. It may panic: `request_device` does if memory is short
/// (`upstream/request_device_panics_without_memory.md`).
pub fn call<T>(own: impl FnOnce() -> T) -> Outcome<T> {
    IS_OWN.set(true);
    let value = catch_unwind(AssertUnwindSafe(own));
    IS_OWN.set(false);
    value.map_err(|_| Failure::Error("a call of the app panicked".to_owned()))
}

/// Whether this thread is in such a call.
pub fn is_in_call() -> bool {
    IS_OWN.get()
}
