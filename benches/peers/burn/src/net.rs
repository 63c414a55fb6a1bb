//! ResNet's Bottleneck and ResNet-50 of burn's own modules, with PyTorch's names, so that a state
//! dict loads as it is.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// torchvision's arguments.
#[derive(Clone, Copy)]
pub struct Block {
    pub inplanes: usize,
    pub planes: usize,
    pub stride: usize,
    pub groups: usize,
    pub base_width: usize,
    pub dilation: usize,
}

impl Block {
    pub const fn new(inplanes: usize, planes: usize) -> Self {
        Self { inplanes, planes, stride: 1, groups: 1, base_width: 64, dilation: 1 }
    }
}

#[derive(Module, Debug)]
pub struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl Bottleneck {
    pub fn new(block: Block, device: &Device) -> Self {
        let Block { inplanes, planes, stride, groups, base_width, dilation } = block;
        let (width, out) = (planes * base_width / 64 * groups, 4 * planes);
        let norm = |channels| BatchNormConfig::new(channels).init(device);
        let point = |from, to, stride| conv([from, to], 1, stride).init(device);
        let middle = conv([width, width], 3, stride)
            .with_padding(PaddingConfig2d::Explicit(dilation, dilation, dilation, dilation))
            .with_dilation([dilation, dilation])
            .with_groups(groups);
        Self {
            conv1: point(inplanes, width, 1),
            bn1: norm(width),
            conv2: middle.init(device),
            bn2: norm(width),
            conv3: point(width, out, 1),
            bn3: norm(out),
            downsample: (stride != 1 || inplanes != out)
                .then(|| (point(inplanes, out, stride), norm(out))),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let y = relu(self.bn2.forward(self.conv2.forward(y)));
        let y = self.bn3.forward(self.conv3.forward(y));
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(x)),
            None => x,
        };
        relu(y + shortcut)
    }

    /// What a backward pass left for each parameter, by PyTorch's names.
    pub fn gradients(&self, all: &Gradients) -> Vec<(String, Option<TensorData>)> {
        let shortcut = self
            .downsample
            .as_ref()
            .map(|(conv, norm)| ("downsample.0", conv, "downsample.1", norm));
        let layers = [
            ("conv1", &self.conv1, "bn1", &self.bn1),
            ("conv2", &self.conv2, "bn2", &self.bn2),
            ("conv3", &self.conv3, "bn3", &self.bn3),
        ];
        let mut found = vec![];
        for (conv_name, conv, norm_name, norm) in layers.into_iter().chain(shortcut) {
            let weight = conv.weight.grad(all).map(Tensor::into_data);
            found.push((format!("{conv_name}.weight"), weight));
            found
                .push((format!("{norm_name}.weight"), norm.gamma.grad(all).map(Tensor::into_data)));
            found.push((format!("{norm_name}.bias"), norm.beta.grad(all).map(Tensor::into_data)));
        }
        found
    }
}

#[derive(Module, Debug)]
pub struct ResNet50 {
    conv1: Conv2d,
    bn1: BatchNorm,
    maxpool: MaxPool2d,
    layer1: Vec<Bottleneck>,
    layer2: Vec<Bottleneck>,
    layer3: Vec<Bottleneck>,
    layer4: Vec<Bottleneck>,
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

impl ResNet50 {
    pub fn new(device: &Device) -> Self {
        let stage = |inplanes, planes, stride, blocks: usize| {
            let first = Block { stride, ..Block::new(inplanes, planes) };
            let others = std::iter::repeat_n(Block::new(4 * planes, planes), blocks - 1);
            std::iter::once(first)
                .chain(others)
                .map(|block| Bottleneck::new(block, device))
                .collect()
        };
        let padding = |n| PaddingConfig2d::Explicit(n, n, n, n);
        Self {
            conv1: conv([3, 64], 7, 2).with_padding(padding(3)).init(device),
            bn1: BatchNormConfig::new(64).init(device),
            maxpool: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(padding(1))
                .init(),
            layer1: stage(64, 64, 1, 3),
            layer2: stage(256, 128, 2, 4),
            layer3: stage(512, 256, 2, 6),
            layer4: stage(1024, 512, 2, 3),
            avgpool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            fc: LinearConfig::new(2048, 1000).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = self.maxpool.forward(relu(self.bn1.forward(self.conv1.forward(x))));
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
        {
            x = block.forward(x);
        }
        self.fc.forward(self.avgpool.forward(x).flatten(1, 3))
    }
}

fn conv(channels: [usize; 2], size: usize, stride: usize) -> Conv2dConfig {
    Conv2dConfig::new(channels, [size, size]).with_stride([stride, stride]).with_bias(false)
}
