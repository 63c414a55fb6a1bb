//! A whole ResNet as a specification: stem, stages of blocks, classes.

use std::fmt;

use super::{BlockKind, BlockSpec, Norm, StrideIn};
use crate::op::{Conv, PoolWindows};

/// The kind of a [`Stem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StemKind {
    /// torchvision's stem: a 7x7 convolution and a max pool, each with stride 2.
    #[default]
    ImageNet,
    /// A stem for images of 32 x 32 pixels, as in CIFAR: a 3x3 convolution with stride 1, no pool.
    Cifar,
}

/// The layers before the first stage: a convolution with norm and ReLU, and a max pool or none.
/// Their strides reduce the image size by a factor of four, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stem {
    /// The kind of stem.
    pub kind: StemKind,
    /// Channels of the image.
    pub in_channels: usize,
    /// Output channels of the convolution and the pool.
    pub planes: usize,
    /// The windows of the pool, if there is one.
    pub pool: PoolWindows,
}

impl Stem {
    /// Rows and columns of the pool's window.
    pub const POOL_KERNEL: usize = 3;
    /// The pool's stride.
    pub const POOL_STRIDE: usize = 2;

    /// The convolution.
    #[must_use]
    pub const fn conv(&self) -> Conv {
        match self.kind {
            StemKind::ImageNet => Conv::conv7x7(self.in_channels, self.planes, 2),
            StemKind::Cifar => Conv::conv3x3(self.in_channels, self.planes, 1, 1, 1),
        }
    }

    /// Whether a max pool follows the convolution.
    #[must_use]
    pub const fn has_pool(&self) -> bool {
        matches!(self.kind, StemKind::ImageNet)
    }

    /// The factor by which the stem reduces the image size: 4 or 1.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.conv().stride * if self.has_pool() { Self::POOL_STRIDE } else { 1 }
    }
}

/// A ResNet: a [`Stem`], stages of blocks and, if it has classes, global average pooling and a
/// linear layer.
///
/// Built by [`ResNet::named`] or [`ResNet::builder`], which validate the parameters. Two networks
/// are equal if they compute the same from the same parameters, however they were specified. The
/// semantics follow `torchvision/models/resnet.py`.
///
/// ```
/// use wgpu_bottleneck::ResNet;
///
/// let network = ResNet::named("resnet50")?
///     .classes(Some(10))
///     .replace_stride_with_dilation([false, true, true])
///     .build()?;
/// assert_eq!((network.features(), network.output_stride()), (2048, 8));
/// # Ok::<(), wgpu_bottleneck::error::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ResNet {
    pub(super) kind: BlockKind,
    pub(super) stem: Stem,
    pub(super) depths: Vec<usize>,
    pub(super) planes: Vec<usize>,
    pub(super) groups: usize,
    pub(super) width_per_group: usize,
    pub(super) classes: Option<usize>,
    pub(super) stride_in: StrideIn,
    pub(super) norm: Norm,
    pub(super) stages: Vec<Vec<BlockSpec>>,
}

impl ResNet {
    /// The layers before the first stage.
    #[must_use]
    pub fn stem(&self) -> Stem {
        self.stem
    }

    /// The stages, `layer1` first, each with its blocks. Neither the list nor a stage is empty.
    #[must_use]
    pub fn stages(&self) -> &[Vec<BlockSpec>] {
        &self.stages
    }

    /// Every block with its name in the state dict (`layer2.0`), in order.
    pub fn blocks(&self) -> impl Iterator<Item = (String, &BlockSpec)> {
        let stages = self.stages.iter().enumerate();
        stages.flat_map(|(stage, blocks)| {
            blocks.iter().enumerate().map(move |(index, block)| (block_name(stage, index), block))
        })
    }

    /// The kind of its blocks.
    #[must_use]
    pub fn kind(&self) -> BlockKind {
        self.kind
    }

    /// Blocks per stage.
    #[must_use]
    pub fn depths(&self) -> &[usize] {
        &self.depths
    }

    /// Planes per stage; a stage has [`BlockKind::expansion`] times as many output channels.
    #[must_use]
    pub fn planes(&self) -> &[usize] {
        &self.planes
    }

    /// Groups of the Bottlenecks' 3x3 convolutions.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Width per 64 planes and group.
    #[must_use]
    pub fn width_per_group(&self) -> usize {
        self.width_per_group
    }

    /// Number of classes of `fc`; `None` for a backbone without `fc`.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// The same network without `fc`.
    #[must_use]
    pub fn without_classes(self) -> Self {
        Self { classes: None, ..self }
    }

    /// The norm layer after every convolution.
    #[must_use]
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// Which convolution of a Bottleneck has the stride.
    #[must_use]
    pub fn stride_in(&self) -> StrideIn {
        self.stride_in
    }

    /// Whether dilation replaces the stride of each stage after the first: the argument of
    /// [`ResNetBuilder::replace_stride_with_dilation`][replace].
    ///
    /// [replace]: super::ResNetBuilder::replace_stride_with_dilation
    #[must_use]
    pub fn replaced_strides(&self) -> Vec<bool> {
        self.stages
            .iter()
            .skip(1)
            .map(|blocks| blocks.first().is_some_and(|block| block.stride() == 1))
            .collect()
    }

    /// The dilation of each stage by torchvision's rule: 1, doubled at each stage whose stride is
    /// replaced. The first block of such a stage has the dilation of the previous stage.
    #[must_use]
    pub fn dilations(&self) -> Vec<usize> {
        let double = |dilation: &mut usize, replaced: bool| {
            *dilation <<= u32::from(replaced);
            Some(*dilation)
        };
        std::iter::once(1).chain(self.replaced_strides().into_iter().scan(1, double)).collect()
    }

    /// The multi grid of the last stage: the argument of
    /// [`ResNetBuilder::multi_grid`](super::ResNetBuilder::multi_grid). Empty if the stage has
    /// torchvision's dilations.
    #[must_use]
    pub fn multi_grid(&self) -> Vec<usize> {
        let (dilations, Some(blocks)) = (self.dilations(), self.stages.last()) else {
            return Vec::new();
        };
        let (last, previous) = match dilations[..] {
            [.., previous, last] => (last, previous),
            _ => (1, 1),
        };
        let is_torchvisions = |(index, block): (usize, &BlockSpec)| {
            block.dilation() == if index == 0 { previous } else { last }
        };
        if blocks.iter().enumerate().all(is_torchvisions) {
            return Vec::new();
        }
        blocks.iter().map(|block| block.dilation() / last).collect()
    }

    /// Output channels of the last stage, which `fc` reads.
    #[must_use]
    pub fn features(&self) -> usize {
        self.stages.iter().flatten().last().map_or(self.stem().planes, BlockSpec::outplanes)
    }

    /// The factor by which stem and stages shrink an image: 32, or less if dilation replaces
    /// strides.
    #[must_use]
    pub fn output_stride(&self) -> usize {
        self.stages
            .iter()
            .flatten()
            .fold(self.stem().stride(), |stride, block| stride * block.stride())
    }
}

/// `layer2.0` for the first block of the second stage.
pub(super) fn block_name(stage: usize, block: usize) -> String {
    format!("layer{}.{block}", stage + 1)
}

impl fmt::Display for ResNet {
    /// Its name or its structure, and the differences from torchvision's defaults.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variant() {
            Some(variant) => f.write_str(variant.name)?,
            None => {
                let (depths, planes) = (self.depths(), self.planes());
                write!(f, "ResNet of {}s, depths {depths:?}, planes {planes:?}", self.kind())?;
                if self.stem().planes != 64 {
                    write!(f, ", stem {}", self.stem().planes)?;
                }
                if (self.groups(), self.width_per_group()) != (1, 64) {
                    write!(
                        f,
                        ", groups {}, width_per_group {}",
                        self.groups(),
                        self.width_per_group()
                    )?;
                }
            }
        }
        if self.stem().in_channels != 3 {
            write!(f, ", {} input channels", self.stem().in_channels)?;
        }
        if self.stem().pool == PoolWindows::CeilMode {
            f.write_str(", max pool in ceil mode")?;
        }
        if self.stem().kind == StemKind::Cifar {
            f.write_str(", CIFAR stem")?;
        }
        if self.output_stride() != 8 * self.stem().stride() {
            write!(f, ", output stride {}", self.output_stride())?;
        }
        match self.classes() {
            Some(1000) => Ok(()),
            Some(classes) => write!(f, ", {classes} classes"),
            None => f.write_str(" without fc"),
        }
    }
}
