//! A block of either kind in a network, and its layers by their names in the state dict.

use std::fmt;

use super::{BasicBlock, Bottleneck, EXPANSION, Norm};
use crate::op::Conv;

/// The kind of a network's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// [`BasicBlock`]: ResNet-18 and -34.
    Basic,
    /// [`Bottleneck`]: ResNet-50 and deeper, ResNeXt, Wide ResNet.
    Bottleneck,
}

impl BlockKind {
    /// Output channels per plane.
    #[must_use]
    pub const fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => EXPANSION,
        }
    }

    /// Its name in torchvision.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "BasicBlock",
            Self::Bottleneck => "Bottleneck",
        }
    }
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One block of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BlockSpec {
    /// A BasicBlock.
    Basic(BasicBlock),
    /// A Bottleneck.
    Bottleneck(Bottleneck),
}

/// A convolution of a block and the norm after it, by their names in the block: `conv1` and `bn1`,
/// or `downsample.0` and `downsample.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSpec {
    /// The convolution's name.
    pub conv_name: &'static str,
    /// The norm's name.
    pub norm_name: &'static str,
    /// The convolution.
    pub conv: Conv,
}

impl BlockSpec {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> BlockKind {
        match self {
            Self::Basic(_) => BlockKind::Basic,
            Self::Bottleneck(_) => BlockKind::Bottleneck,
        }
    }

    /// The Bottleneck, if it is one.
    #[must_use]
    pub fn bottleneck(&self) -> Option<&Bottleneck> {
        match self {
            Self::Basic(_) => None,
            Self::Bottleneck(block) => Some(block),
        }
    }

    /// The BasicBlock, if it is one.
    #[must_use]
    pub fn basic(&self) -> Option<&BasicBlock> {
        match self {
            Self::Basic(block) => Some(block),
            Self::Bottleneck(_) => None,
        }
    }

    /// Input channels.
    #[must_use]
    pub fn inplanes(&self) -> usize {
        match self {
            Self::Basic(block) => block.inplanes(),
            Self::Bottleneck(block) => block.inplanes(),
        }
    }

    /// Output channels.
    #[must_use]
    pub fn outplanes(&self) -> usize {
        match self {
            Self::Basic(block) => block.outplanes(),
            Self::Bottleneck(block) => block.outplanes(),
        }
    }

    /// The factor by which the block shrinks an image.
    #[must_use]
    pub fn stride(&self) -> usize {
        match self {
            Self::Basic(block) => block.stride(),
            Self::Bottleneck(block) => block.stride(),
        }
    }

    /// Dilation of the 3x3 convolution; 1 in a BasicBlock.
    #[must_use]
    pub fn dilation(&self) -> usize {
        match self {
            Self::Basic(_) => 1,
            Self::Bottleneck(block) => block.dilation(),
        }
    }

    /// Whether the shortcut is a convolution and norm.
    #[must_use]
    pub fn has_downsample(&self) -> bool {
        self.downsample_conv().is_some()
    }

    /// The norm layer.
    #[must_use]
    pub fn norm(&self) -> Norm {
        match self {
            Self::Basic(block) => block.norm(),
            Self::Bottleneck(block) => block.norm(),
        }
    }

    /// The shortcut's convolution, if there is one.
    #[must_use]
    pub fn downsample_conv(&self) -> Option<Conv> {
        match self {
            Self::Basic(block) => block.downsample_conv(),
            Self::Bottleneck(block) => block.downsample_conv(),
        }
    }

    /// Its layers, in the order of PyTorch's state dict: the downsample comes last.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerSpec> {
        let layer = |conv_name, norm_name, conv| LayerSpec { conv_name, norm_name, conv };
        let mut layers = match self {
            Self::Basic(block) => {
                vec![layer("conv1", "bn1", block.conv1()), layer("conv2", "bn2", block.conv2())]
            }
            Self::Bottleneck(block) => vec![
                layer("conv1", "bn1", block.conv1()),
                layer("conv2", "bn2", block.conv2()),
                layer("conv3", "bn3", block.conv3()),
            ],
        };
        layers
            .extend(self.downsample_conv().map(|conv| layer("downsample.0", "downsample.1", conv)));
        layers
    }
}
