//! An app that owns a wgpu device.

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
