//! Blocks with the results of PyTorch, a small network, and an image.

use wgpu_bottleneck::image::Resize;
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::weights::{Initialization, NetworkState};
use wgpu_bottleneck::{
    Block, BlockChain, BlockOptions, Gpu, HostTensor, Image, LoadOptions, NetworkWeights,
    Preprocess, ResNet, Result, Shape, StateDict,
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// A block, an input and PyTorch's output.
#[derive(Clone)]
pub struct Case {
    pub block: Block,
    pub input: HostTensor,
    pub output: HostTensor,
}

impl Case {
    /// The case of a file in `tests/golden`.
    pub fn open(name: &str, stride: usize) -> Result<Self> {
        let file = StateDict::open(format!("{GOLDEN}/{name}.safetensors"))?;
        let options = BlockOptions { stride, ..BlockOptions::default() };
        let block = Block::from_state_dict(&file, "", &options)?;
        Ok(Self { block, input: file.nchw("input")?, output: file.nchw("out")? })
    }

    /// Loads the block.
    pub fn load(&self, gpu: &Gpu) -> Result<BlockChain> {
        let blocks = std::slice::from_ref(&self.block);
        BlockChain::load(gpu, blocks, self.input.shape(), &LoadOptions::default())
    }

    /// Whether an output is right.
    pub fn is_right(&self, output: &HostTensor) -> bool {
        compare(&self.output, output, Tolerance::relative(1e-5)).passed()
    }
}

/// Four different cases.
pub fn cases() -> Result<Vec<Case>> {
    let names = [
        ("plain", 1),
        ("s2_odd_downsample", 2),
        ("groups8_5_per_group", 1),
        ("odd_13x9_batch3", 1),
    ];
    names.into_iter().map(|(name, stride)| Case::open(name, stride)).collect()
}

/// A network of two blocks and five classes, with its initial weights.
pub fn state() -> Result<NetworkState> {
    let builder = ResNet::builder(BlockKind::Bottleneck).depths(vec![1, 1]).planes(vec![4, 8]);
    let spec = builder.stem_planes(4).classes(Some(5)).build()?;
    Ok(NetworkState::initial(&spec, Initialization::default()))
}

/// The same network for inference.
pub fn weights() -> Result<NetworkWeights> {
    let state = state()?;
    let bytes = state.to_safetensors(&[], &Default::default())?;
    NetworkWeights::matching(StateDict::from_bytes(bytes)?, state.spec(), Some(""))
}

/// A tensor of this shape with some values between -1 and 1.
pub fn tensor([n, c, h, w]: [usize; 4]) -> Result<HostTensor> {
    let values = (0..n * c * h * w).map(|index| (index % 89) as f32 / 44.0 - 1.0).collect();
    Ok(HostTensor::new(Shape::new(n, c, h, w)?, values)?)
}

/// A network's input, and a batch for training.
pub fn inputs() -> Result<(HostTensor, HostTensor)> {
    Ok((tensor([2, 3, 32, 32])?, tensor([4, 3, 16, 16])?))
}

/// How images become inputs of the network.
pub fn preprocess() -> Preprocess {
    let resize = Resize::ShorterSide(40);
    Preprocess { crop: [32, 32], resize, ..Preprocess::imagenet_v1() }
}

/// An image of this size.
pub fn image(width: u32, height: u32) -> Result<Image> {
    Ok(Image::from_fn(width, height, |x, y| [x as u8 * 3, y as u8 * 5, 9])?)
}
