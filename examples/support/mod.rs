//! What the examples of whole networks share: weights and an image that need no download.

use std::error::Error;

use safetensors::{Dtype, tensor::TensorView};
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::{CheckpointOptions, Image, NetworkWeights, ResNet, StateDict};

/// The weights in the file that is the first argument; without one a quarter as wide as ResNet-50,
/// of ten classes, and random: it computes, but knows nothing.
pub fn weights(options: &CheckpointOptions) -> Result<NetworkWeights, Box<dyn Error>> {
    if let Some(file) = std::env::args().nth(1) {
        return Ok(NetworkWeights::open(file, options)?);
    }
    let builder = ResNet::builder(BlockKind::Bottleneck)
        .depths([3, 4, 6, 3])
        .planes([16, 32, 64, 128])
        .stem_planes(16);
    let network = builder.classes(Some(10)).build()?;
    let mut random = 1u64;
    let mut tensors = Vec::new();
    for (key, dims) in network.state_dict_shapes() {
        let terms: usize = dims.iter().skip(1).product();
        let values = (0..dims.iter().product()).map(|_| {
            // Knuth's MMIX generator; its upper bits are the better ones.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let uniform = (random >> 40) as f32 / (1 << 24) as f32;
            if dims.len() > 1 {
                (uniform - 0.5) * (24.0 / terms as f32).sqrt()
            } else {
                uniform * 0.5 + 0.25
            }
        });
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        tensors.push((key, dims, bytes));
    }
    let views = tensors
        .iter()
        .map(|(key, dims, bytes)| Ok((key, TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(NetworkWeights::detect(
        StateDict::from_bytes(safetensors::serialize(views, None)?)?,
        options,
    )?)
}

/// The image in the file that is the second argument; without one a disc before a gradient.
pub fn image() -> Result<Image, Box<dyn Error>> {
    if let Some(file) = std::env::args().nth(2) {
        return Ok(Image::open(file)?);
    }
    Ok(Image::from_fn(320, 240, |x, y| {
        let (dx, dy) = (x.abs_diff(200), y.abs_diff(90));
        if dx * dx + dy * dy < 60 * 60 {
            [230, 40, 40]
        } else {
            [(x / 2) as u8, (y / 2) as u8, 128]
        }
    })?)
}
