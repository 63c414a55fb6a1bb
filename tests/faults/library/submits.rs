//! An app that submits what it recorded, and keeps the results on the device.

use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::tensor::{ChannelLayout, HostTensor, compare};
use wgpu_bottleneck::wgpu::CommandEncoderDescriptor;

use super::cases::Case;
use super::lifetime::buffer;
use super::{Outcome, app, wrong};

/// On a device of the library, then on one of the app: every run has another input, so that an
/// output of an earlier run is wrong.
pub fn submits() -> Outcome {
    // Not dropped before the end: a layer would count submits from one again.
    let owned = Gpu::new()?;
    on(&owned)?;
    let (device, queue) = app::call(app::device)??;
    on(&Gpu::from_wgpu(device, queue))?;
    drop(owned);
    Ok(())
}

fn on(gpu: &Gpu) -> Outcome {
    let case = Case::open("plain", 1)?;
    let chain = case.load(gpu)?;
    let sizes = [chain.executor().input_bytes(), chain.executor().output_bytes()];
    let [input, output] =
        gpu.guarded("creating buffers", || sizes.map(|size| buffer(gpu, size)))?;
    let bound = chain.bind(&input, &output)?;
    let shape = chain.output_shape();
    for run in 1..=4u8 {
        let values = case.input.data().iter().map(|value| value * f32::from(run)).collect();
        let image = HostTensor::new(case.input.shape(), values)?;
        let packed = image.to_nhwc(ChannelLayout::dense(image.shape().c))?;
        let write = || gpu.queue().write_buffer(&input, 0, bytemuck::cast_slice(&packed));
        gpu.guarded("uploading", write)?;
        if run % 2 == 0 {
            let commands = bound.record()?;
            gpu.guarded("submitting", || gpu.queue().submit(commands))?;
        } else {
            let begin =
                || gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
            let mut encoder = gpu.guarded("recording", begin)?;
            bound.record_into(&mut encoder)?;
            gpu.guarded("submitting", || gpu.queue().submit([encoder.finish()]))?;
        }
        bound.verify()?;
        let bytes = gpu.download(&output)?;
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let found = HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?;
        if !compare(&chain.reference(&image)?, &found, chain.tolerance()).passed() {
            return wrong(format!("run {run} that the app submitted"));
        }
    }
    Ok(())
}
