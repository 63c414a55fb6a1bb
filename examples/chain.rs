//! Runs a chain of blocks on the app's buffers: one command buffer per block, all of them in one
//! submit.
//!
//!     scripts/with-gpu cargo run --release --example chain

use std::error::Error;
use std::time::Instant;

use wgpu_bottleneck::tensor::{ChannelLayout, HostTensor, compare};
use wgpu_bottleneck::wgpu::{BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{Block, BlockChain, BlockOptions, Gpu, LoadOptions, StateDict};

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());

    // Each block must take the channels that the one before it writes. This one has as many inputs
    // as outputs, so a chain may repeat it; a network would bring a block for each of its prefixes.
    let file =
        StateDict::from_bytes(include_bytes!("../src/cli/demo/deeplab.safetensors").to_vec())?;
    let block = Block::from_state_dict(
        &file,
        "",
        &BlockOptions { dilation: 2, ..BlockOptions::default() },
    )?;
    let image = file.nchw("input")?;
    let model = BlockChain::load(&gpu, &vec![block; 4], image.shape(), &LoadOptions::default())?;

    let buffer = |label, size, usage| {
        gpu.device().create_buffer(&BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let input = buffer(
        "input",
        model.executor().input_bytes(),
        BufferUsages::STORAGE | BufferUsages::COPY_DST,
    );
    let output = buffer(
        "output",
        model.executor().output_bytes(),
        BufferUsages::STORAGE | BufferUsages::COPY_SRC,
    );
    let packed = image.to_nhwc(ChannelLayout::dense(image.shape().c))?;
    gpu.queue().write_buffer(&input, 0, bytemuck::cast_slice(&packed));

    let bound = model.bind(&input, &output)?;
    for run in 0..3 {
        // wgpu's command buffers are used up by a submit: they are recorded again for each run,
        // which is cheap.
        let start = Instant::now();
        let commands = bound.record()?;
        let count = commands.len();
        gpu.queue().submit(commands);
        println!(
            "run {run}: {count} command buffers recorded and submitted in {:?}",
            start.elapsed()
        );
        // Waits, and checks that the work ran.
        bound.verify()?;
        if count != 4 {
            return Err(format!("expected one command buffer per block, found {count}").into());
        }
    }

    let plan = &model.recording().plan;
    let shape = plan.tensor(plan.output).shape;
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&gpu.download(&output)?);
    let found = HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?;
    let comparison = compare(&model.reference(&image)?, &found, model.tolerance());
    println!("{} -> {shape}: {comparison}", image.shape());
    if comparison.passed() { Ok(()) } else { Err("the numbers are wrong".into()) }
}
