//! What the benches share: blocks with seeded weights, seeded images, buffers on the device.
#![allow(dead_code)]

use std::error::Error;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_bottleneck::gpu::Executor;
use wgpu_bottleneck::op::Conv;
use wgpu_bottleneck::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{
    Block, BlockChain, BlockOptions, Bottleneck, Gpu, HostTensor, ResNet, Shape, StateDict,
};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `low..high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1u32 << 24) as f32;
        low + (high - low) * unit
    }
}

/// The bytes of tensors for a safetensors file: key, dimensions, little-endian values.
type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;

/// The safetensors file of a block with seeded weights.
pub fn block_file(spec: &Bottleneck, random: &mut Random) -> Result<Vec<u8>> {
    let mut tensors = Tensors::new();
    let layers = [
        ("conv1", "bn1", spec.conv1()),
        ("conv2", "bn2", spec.conv2()),
        ("conv3", "bn3", spec.conv3()),
    ];
    let shortcut = spec.downsample_conv().map(|conv| ("downsample.0", "downsample.1", conv));
    for (name, norm, conv) in layers.into_iter().chain(shortcut) {
        layer(&mut tensors, random, name, norm, conv);
    }
    file(&tensors)
}

/// A block of this specification with seeded weights, through a state dict as a user's would come.
pub fn block(spec: &Bottleneck, random: &mut Random) -> Result<Block> {
    let dict = StateDict::from_bytes(block_file(spec, random)?)?;
    let options = BlockOptions {
        stride: spec.stride(),
        dilation: spec.dilation(),
        groups: Some(spec.groups()),
        base_width: Some(spec.base_width()),
        norm: spec.norm(),
    };
    Ok(Block::from_state_dict(&dict, "", &options)?)
}

/// The safetensors file of a network with seeded weights, positive ones, as variances must be.
pub fn network_file(network: &ResNet, random: &mut Random) -> Result<Vec<u8>> {
    let mut tensors = Tensors::new();
    for (key, dims) in network.state_dict_shapes() {
        if !key.ends_with("num_batches_tracked") {
            let count = dims.iter().product();
            tensors.push((
                key,
                dims,
                (0..count).flat_map(|_| random.uniform(0.5, 1.0).to_le_bytes()).collect(),
            ));
        }
    }
    file(&tensors)
}

fn file(tensors: &Tensors) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|(key, dims, bytes)| {
            Ok((key.as_str(), TensorView::new(Dtype::F32, dims.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, None)?)
}

/// A convolution and its norm, scaled so that every layer's output stays near 1.
fn layer(tensors: &mut Tensors, random: &mut Random, name: &str, norm: &str, conv: Conv) {
    let side = if conv.taps() == 9 { 3 } else { 1 };
    let bound = (3.0 / conv.reduction_length() as f32).sqrt();
    let dims = vec![conv.out_channels, conv.in_per_group(), side, side];
    let mut add = |key: String, dims: Vec<usize>, low, high| {
        let count = dims.iter().product();
        let bytes = (0..count).flat_map(|_| random.uniform(low, high).to_le_bytes()).collect();
        tensors.push((key, dims, bytes));
    };
    add(format!("{name}.weight"), dims, -bound, bound);
    for (part, low, high) in [
        ("weight", 0.5, 1.0),
        ("bias", -0.3, 0.3),
        ("running_mean", -0.3, 0.3),
        ("running_var", 0.5, 1.5),
    ] {
        add(format!("{norm}.{part}"), vec![conv.out_channels], low, high);
    }
}

/// A seeded image, values in -1..1.
pub fn image(shape: Shape, random: &mut Random) -> HostTensor {
    HostTensor::from_fn(shape, |_| random.uniform(-1.0, 1.0))
}

/// An input buffer that holds the image and an output buffer, both for this model.
pub fn buffers(gpu: &Gpu, model: &BlockChain, image: &HostTensor) -> Result<(Buffer, Buffer)> {
    own_buffers(gpu, model.executor(), image)
}

/// The same for an executor.
pub fn own_buffers(gpu: &Gpu, executor: &Executor, image: &HostTensor) -> Result<(Buffer, Buffer)> {
    let buffer = |label, size, usage| {
        gpu.device().create_buffer(&BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let plan = &executor.recording().plan;
    let packed = image.to_nhwc(plan.tensor(plan.input).layout)?;
    let input =
        buffer("input", executor.input_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_DST);
    let output =
        buffer("output", executor.output_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    gpu.queue().write_buffer(&input, 0, bytemuck::cast_slice(&packed));
    Ok((input, output))
}

/// What an output buffer holds, as a host tensor.
pub fn download(gpu: &Gpu, model: &BlockChain, output: &Buffer) -> Result<HostTensor> {
    download_output(gpu, model.executor(), output)
}

/// The same for an executor.
pub fn download_output(gpu: &Gpu, executor: &Executor, output: &Buffer) -> Result<HostTensor> {
    let plan = &executor.recording().plan;
    let info = plan.tensor(plan.output);
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&gpu.download(output)?);
    Ok(HostTensor::from_nhwc(info.shape, info.layout, &values)?)
}

/// The 16 Bottlenecks of ResNet-50.
pub fn resnet50() -> Result<Vec<Bottleneck>> {
    let mut blocks = Vec::new();
    let mut inplanes = 64;
    for (layer, (planes, count)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate()
    {
        for index in 0..count {
            let stride = if index == 0 && layer > 0 { 2 } else { 1 };
            blocks.push(
                Bottleneck::torchvision(inplanes, planes)
                    .stride(stride)
                    .downsample(index == 0)
                    .build()?,
            );
            inplanes = 4 * planes;
        }
    }
    Ok(blocks)
}
