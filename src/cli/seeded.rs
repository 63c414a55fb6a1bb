//! Blocks, networks and inputs from a seed, without a checkpoint: the same numbers on every
//! machine.
//!
//! The weights are loaded like a user's: a safetensors file in memory, read as a state dict.

use safetensors::{Dtype, tensor::TensorView};
use wgpu_bottleneck::error::{ShapeError, WeightsError};
use wgpu_bottleneck::op::Conv;
use wgpu_bottleneck::{
    Block, BlockOptions, Bottleneck, Error, HostTensor, NetworkWeights, ResNet, Shape, StateDict,
};

/// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014):
/// small, and good enough for weights.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator; the same seed gives the same numbers on every machine.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..high` with 24 random bits, the precision of f32.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1u32 << 24) as f32;
        low + unit * (high - low)
    }
}

/// An input with values in -1..1.
pub fn input(shape: Shape, seed: u64) -> Result<HostTensor, Error> {
    let mut random = SplitMix64::new(seed);
    let input = HostTensor::try_from_fn(shape, |_| random.uniform(-1.0, 1.0));
    Ok(input.map_err(|error| error.of_tensor("input"))?)
}

/// A block with seeded weights: convolutions as He et al. initialise them (variance 2 / fan-in,
/// uniform here), norms with statistics and affine parameters that differ from their defaults, with
/// both signs where possible.
pub fn block(spec: &Bottleneck, seed: u64) -> Result<Block, Error> {
    let options = BlockOptions {
        stride: spec.stride(),
        dilation: spec.dilation(),
        groups: Some(spec.groups()),
        base_width: Some(spec.base_width()),
        norm: spec.norm(),
    };
    Block::from_state_dict(&StateDict::from_bytes(file(spec, seed)?)?, "", &options)
}

/// The bytes of a safetensors file with the block's state dict.
pub fn file(spec: &Bottleneck, seed: u64) -> Result<Vec<u8>, Error> {
    let mut tensors = Tensors::default();
    let convs = [
        ("conv1", "bn1", spec.conv1()),
        ("conv2", "bn2", spec.conv2()),
        ("conv3", "bn3", spec.conv3()),
    ];
    let shortcut = spec.downsample_conv().map(|conv| ("downsample.0", "downsample.1", conv));
    for (conv_name, norm_name, conv) in convs.into_iter().chain(shortcut) {
        tensors.conv(conv_name, &conv);
        if spec.norm().eps().is_some() {
            tensors.norm(norm_name, conv.out_channels);
        }
    }
    tensors.file(seed)
}

/// A network with seeded weights: convolutions as in [`block()`]. Statistics and affine parameters
/// of the norms differ from their defaults. Values stay finite through all blocks, because the last
/// norm of each block adds little to the shortcut.
pub fn network(spec: &ResNet, seed: u64) -> Result<NetworkWeights, Error> {
    let mut tensors = Tensors::default();
    for (key, dims) in spec.state_dict_shapes() {
        let (low, high) = match key.rsplit('.').next().unwrap_or_default() {
            "num_batches_tracked" => continue,
            "weight" if dims.len() > 1 => {
                let bound = (6.0 / dims[1..].iter().product::<usize>() as f32).sqrt();
                (-bound, bound)
            }
            "weight" if key.contains(".bn3") => (0.1, 0.4),
            "weight" | "running_var" => (0.5, 1.5),
            _ => (-0.2, 0.2),
        };
        tensors.push(key, dims, low, high);
    }
    NetworkWeights::matching(StateDict::from_bytes(tensors.file(seed)?)?, spec, None)
}

/// Key, dimensions, and least and largest value of each tensor.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>, [f32; 2])>);

impl Tensors {
    /// The bytes of a safetensors file.
    fn file(&self, seed: u64) -> Result<Vec<u8>, Error> {
        self.check_memory()?;
        let mut random = SplitMix64::new(seed);
        let list = self.0.iter().map(|(name, dims, [low, high])| {
            let bytes = values(name, dims, || random.uniform(*low, *high))?;
            Ok((name, dims, bytes))
        });
        let list = list.collect::<Result<Vec<_>, ShapeError>>()?;
        let format = |error: safetensors::SafeTensorError| WeightsError::Format {
            source_name: "seeded weights".to_owned(),
            reason: error.to_string(),
        };
        let view =
            |(name, dims, bytes)| TensorView::new(Dtype::F32, dims, bytes).map(|view| (name, view));
        let list =
            list.iter().map(|&(name, dims, ref bytes)| view((name, dims.clone(), &bytes[..])));
        let views: Vec<(&String, TensorView<'_>)> =
            list.collect::<Result<_, _>>().map_err(format)?;
        Ok(safetensors::serialize(views, None).map_err(format)?)
    }

    /// Checks that the memory for all tensors and for their copy in the file is available.
    fn check_memory(&self) -> Result<(), ShapeError> {
        const NAME: &str = "seeded weights";
        let values = self.0.iter().map(|(_, dims, _)| product(dims));
        let twice = values.fold(0, usize::saturating_add).saturating_mul(2);
        // Zeros are not written before they are used, so this takes no time.
        let all = HostTensor::try_zeros(Shape::named(NAME, &[1, 1, 1, twice])?);
        all.map(drop).map_err(|error| error.of_tensor(NAME))
    }

    /// A tensor with values in `low..high`.
    fn push(&mut self, key: String, dims: Vec<usize>, low: f32, high: f32) {
        self.0.push((key, dims, [low, high]));
    }

    fn conv(&mut self, name: &str, conv: &Conv) {
        let side = if conv.taps() == 9 { 3 } else { 1 };
        // A uniform distribution of variance v reaches to sqrt(3 v).
        let bound = (6.0 / conv.reduction_length() as f32).sqrt();
        self.push(
            format!("{name}.weight"),
            vec![conv.out_channels, conv.in_per_group(), side, side],
            -bound,
            bound,
        );
    }

    fn norm(&mut self, name: &str, channels: usize) {
        for (part, low, high) in [
            ("weight", -0.5, 1.0),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        ] {
            self.push(format!("{name}.{part}"), vec![channels], low, high);
        }
    }
}

/// The number of values of a tensor.
fn product(dims: &[usize]) -> usize {
    dims.iter().copied().fold(1, usize::saturating_mul)
}

/// Little-endian f32.
fn values(
    name: &str,
    dims: &[usize],
    mut next: impl FnMut() -> f32,
) -> Result<Vec<u8>, ShapeError> {
    let (tensor, count) = (name.to_owned(), product(dims));
    let length = count.saturating_mul(size_of::<f32>());
    let mut bytes: Vec<u8> = Vec::new();
    if bytes.try_reserve_exact(length).is_err() {
        let (dims, bytes) = (dims.to_vec(), length as u64);
        return Err(ShapeError::Memory { tensor, dims, bytes, available: None });
    }
    bytes.extend((0..count).flat_map(|_| next().to_le_bytes()));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_promise() -> Result<(), Error> {
        // The first output of splitmix64 for seed 0, from its reference implementation.
        assert_eq!(SplitMix64::new(0).next(), 0xe220_a839_7b1d_cdaf);
        let spec = Bottleneck::torchvision(8, 4).stride(2).groups(2).downsample(true).build()?;
        assert_eq!(block(&spec, 7)?, block(&spec, 7)?);
        assert_ne!(block(&spec, 7)?, block(&spec, 8)?);
        Ok(())
    }

    #[test]
    fn all_tensors_and_their_copy_need_memory() -> Result<(), Error> {
        // Two tensors of 16 TB.
        let mut tensors = Tensors::default();
        tensors.push("a".to_owned(), vec![4_000_000, 1_000_000], -1.0, 1.0);
        tensors.push("b".to_owned(), vec![4_000_000, 1_000_000], -1.0, 1.0);
        let error = tensors.file(1).err();
        let is_named = matches!(
            &error,
            Some(Error::Shape(ShapeError::Memory { tensor, bytes, .. }))
                if tensor == "seeded weights" && *bytes == 64_000_000_000_000
        );
        assert!(is_named, "{error:?}");
        Ok(())
    }
}
