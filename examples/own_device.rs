//! An app with its own device records a block into its own encoder, between its own commands, and
//! submits once.
//!
//!     scripts/with-gpu cargo run --release --example own_device

use std::error::Error;
use std::sync::mpsc::channel;

use wgpu_bottleneck::tensor::{ChannelLayout, HostTensor, compare};
// The library's own wgpu, so that the versions meet.
use wgpu_bottleneck::wgpu::{self, BufferUsages};
use wgpu_bottleneck::{Block, BlockChain, BlockOptions, Gpu, LoadOptions, StateDict, required};

fn main() -> Result<(), Box<dyn Error>> {
    // The app's device. `required` says what this crate wants of it; merge that with what the app
    // wants.
    let (device, queue) = pollster::block_on(own_device())?;
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
    println!("{}", gpu.describe());

    let file =
        StateDict::from_bytes(include_bytes!("../src/cli/demo/deeplab.safetensors").to_vec())?;
    let block = Block::from_state_dict(
        &file,
        "",
        &BlockOptions { dilation: 2, ..BlockOptions::default() },
    )?;
    let image = file.nchw("input")?;
    let model = BlockChain::load(&gpu, &[block], image.shape(), &LoadOptions::default())?;

    // The app's buffers: NHWC f32, channels padded with zeros to a multiple of 4. A tensor of the
    // app's that is already so on the device needs no copy.
    let packed = image.to_nhwc(ChannelLayout::dense(image.shape().c))?;
    let (input_bytes, output_bytes) =
        (model.executor().input_bytes(), model.executor().output_bytes());
    let buffer = |label, size, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let upload = buffer("upload", input_bytes, BufferUsages::COPY_SRC | BufferUsages::COPY_DST);
    let input = buffer("input", input_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST);
    let output = buffer("output", output_bytes, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let readback =
        buffer("readback", output_bytes, BufferUsages::COPY_DST | BufferUsages::MAP_READ);
    queue.write_buffer(&upload, 0, bytemuck::cast_slice(&packed));

    // Bind once; record for every run. The encoder, and so the command buffer, is the app's.
    let bound = model.bind(&input, &output)?;
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(&upload, 0, &input, 0, input_bytes);
    bound.record_into(&mut encoder)?;
    encoder.copy_buffer_to_buffer(&output, 0, &readback, 0, output_bytes);
    queue.submit([encoder.finish()]);

    // Checks that the work ran: drivers can fail without an error.
    bound.verify()?;
    // Reading back is plain wgpu.
    let (sender, mapped) = channel();
    readback.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    mapped.recv()??;
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&readback.get_mapped_range(..)?);

    let plan = &model.recording().plan;
    let shape = plan.tensor(plan.output).shape;
    let found = HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?;
    let comparison = compare(&model.reference(&image)?, &found, model.tolerance());
    println!("{} -> {shape}: {comparison}", image.shape());
    if comparison.passed() { Ok(()) } else { Err("the numbers are wrong".into()) }
}

/// Creates a device as an app would: with its own instance, adapter, features and limits.
async fn own_device() -> Result<(wgpu::Device, wgpu::Queue), Box<dyn Error>> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    let (required_features, required_limits) = required(&adapter);
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("the app's device"),
        required_features,
        required_limits,
        ..Default::default()
    };
    Ok(adapter.request_device(&descriptor).await?)
}
