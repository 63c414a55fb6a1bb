//! Builds the blocks of a ResNet from its parameters.

use super::limits::{check_at_most, check_eps, check_size};
use super::resnet::block_name;
use super::{BasicBlock, BlockKind, BlockSpec, Bottleneck, Norm, ResNet, Stem, StemKind, StrideIn};
use crate::error::SpecError;
use crate::op::PoolWindows;

/// Maximum number of stages: with more, doubling strides and dilations would exceed a block's
/// limits.
const MAX_STAGES: usize = 16;

/// Maximum number of blocks in a stage, so that a specification from a file cannot exhaust memory.
const MAX_DEPTH: usize = 1024;

/// The parameters of a [`ResNet`], for [`build`](ResNetBuilder::build). Each has torchvision's
/// default.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "call build() to get the specification"]
pub struct ResNetBuilder {
    kind: BlockKind,
    depths: Vec<usize>,
    planes: Option<Vec<usize>>,
    in_channels: usize,
    stem_kind: StemKind,
    stem_planes: usize,
    groups: usize,
    width_per_group: usize,
    classes: Option<usize>,
    replace_stride_with_dilation: Vec<bool>,
    multi_grid: Vec<usize>,
    stride_in: StrideIn,
    max_pool: PoolWindows,
    norm: Norm,
}

impl ResNet {
    /// A network with blocks of this kind, by default two in each of four stages.
    pub fn builder(kind: BlockKind) -> ResNetBuilder {
        ResNetBuilder {
            kind,
            depths: vec![2; 4],
            planes: None,
            in_channels: 3,
            stem_kind: StemKind::default(),
            stem_planes: 64,
            groups: 1,
            width_per_group: 64,
            classes: Some(1000),
            replace_stride_with_dilation: Vec::new(),
            multi_grid: Vec::new(),
            stride_in: StrideIn::default(),
            max_pool: PoolWindows::default(),
            norm: Norm::default(),
        }
    }
}

impl ResNetBuilder {
    /// Blocks per stage: up to 16 stages of up to 1024 blocks each.
    pub fn depths(mut self, depths: impl Into<Vec<usize>>) -> Self {
        self.depths = depths.into();
        self
    }

    /// Planes per stage, one for each entry of `depths`. Default 64, doubled at each stage.
    pub fn planes(mut self, planes: impl Into<Vec<usize>>) -> Self {
        self.planes = Some(planes.into());
        self
    }

    /// Channels of the image. Default 3.
    pub fn in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    /// Output channels of the stem. Default 64.
    pub fn stem_planes(mut self, stem_planes: usize) -> Self {
        self.stem_planes = stem_planes;
        self
    }

    /// Groups of the Bottlenecks' 3x3 convolutions. Default 1.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Width per 64 planes and group. Default 64.
    pub fn width_per_group(mut self, width_per_group: usize) -> Self {
        self.width_per_group = width_per_group;
        self
    }

    /// Classes, or `None` for a backbone that ends with the last stage. Default 1000.
    pub fn classes(mut self, classes: Option<usize>) -> Self {
        self.classes = classes;
        self
    }

    /// For each stage after the first, whether dilation replaces its stride, as in torchvision: the
    /// stage's first block keeps the dilation of the previous stage, the others have twice that.
    /// Default: no stage. `[false, false, true]` gives DeepLab's output stride of 16,
    /// `[false, true, true]` that of 8.
    pub fn replace_stride_with_dilation(mut self, replace: impl Into<Vec<bool>>) -> Self {
        self.replace_stride_with_dilation = replace.into();
        self
    }

    /// DeepLab's multi grid: block i of the last stage has the stage's dilation times `rates[i]`,
    /// including the first block. Needs one rate per block of the stage; empty, the default, keeps
    /// torchvision's dilations.
    pub fn multi_grid(mut self, rates: impl Into<Vec<usize>>) -> Self {
        self.multi_grid = rates.into();
        self
    }

    /// Which convolution of a Bottleneck has the stride. Default [`StrideIn::Conv2`]; ignored for a
    /// BasicBlock.
    pub fn stride_in(mut self, stride_in: StrideIn) -> Self {
        self.stride_in = stride_in;
        self
    }

    /// The kind of stem. Default [`StemKind::ImageNet`].
    pub fn stem(mut self, kind: StemKind) -> Self {
        self.stem_kind = kind;
        self
    }

    /// The windows of the stem's max pool. Default [`PoolWindows::Padded`]; networks converted from
    /// Caffe use [`PoolWindows::CeilMode`].
    pub fn max_pool(mut self, windows: PoolWindows) -> Self {
        self.max_pool = windows;
        self
    }

    /// The norm layer after every convolution. Default BatchNorm2d with eps 1e-5.
    pub fn norm_layer(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Validates the parameters and returns the specification.
    ///
    /// # Errors
    /// A [`SpecError`] that names the parameter, or, in a [`SpecError::InBlock`], the block.
    pub fn build(self) -> Result<ResNet, SpecError> {
        let planes = self.checked_planes()?;
        let stages = self.stages(&planes)?;
        Ok(ResNet {
            kind: self.kind,
            stem: Stem {
                kind: self.stem_kind,
                in_channels: self.in_channels,
                planes: self.stem_planes,
                pool: self.max_pool,
            },
            depths: self.depths,
            planes,
            groups: self.groups,
            width_per_group: self.width_per_group,
            classes: self.classes,
            stride_in: self.stride_in,
            norm: self.norm,
            stages,
        })
    }

    /// The blocks, with torchvision's rule for dilations and DeepLab's multi grid.
    fn stages(&self, planes: &[usize]) -> Result<Vec<Vec<BlockSpec>>, SpecError> {
        let mut stages = Vec::with_capacity(planes.len());
        let (mut inplanes, mut dilation) = (self.stem_planes, 1usize);
        for (stage, &stage_planes) in planes.iter().enumerate() {
            let previous = dilation;
            let mut stride = if stage == 0 { 1 } else { 2 };
            if stage > 0 && self.replace_stride_with_dilation.get(stage - 1) == Some(&true) {
                (dilation, stride) = (dilation * stride, 1);
            }
            let mut blocks = Vec::with_capacity(self.depths[stage]);
            for index in 0..self.depths[stage] {
                let (stride, torchvision) =
                    if index == 0 { (stride, previous) } else { (1, dilation) };
                let grid = self.multi_grid.get(index).filter(|_| stage + 1 == planes.len());
                let dilation = grid.map_or(torchvision, |rate| dilation.saturating_mul(*rate));
                let block = self.block(inplanes, stage_planes, stride, dilation);
                let named = |source| SpecError::InBlock {
                    block: block_name(stage, index),
                    source: Box::new(source),
                };
                let block = block.map_err(named)?;
                inplanes = block.outplanes();
                blocks.push(block);
            }
            stages.push(blocks);
        }
        Ok(stages)
    }

    /// The planes of each stage, after checking everything but the blocks.
    fn checked_planes(&self) -> Result<Vec<usize>, SpecError> {
        let stages = self.depths.len();
        check_at_most("number of stages", stages, MAX_STAGES)?;
        for &depth in &self.depths {
            check_at_most("depths", depth, MAX_DEPTH)?;
        }
        let planes =
            self.planes.clone().unwrap_or_else(|| (0..stages).map(|stage| 64 << stage).collect());
        let entries = |parameter, found, expected| match found == expected {
            true => Ok(()),
            false => Err(SpecError::Entries { parameter, expected, found }),
        };
        entries("planes", planes.len(), stages)?;
        if !self.replace_stride_with_dilation.is_empty() {
            entries(
                "replace_stride_with_dilation",
                self.replace_stride_with_dilation.len(),
                stages - 1,
            )?;
        }
        if !self.multi_grid.is_empty() {
            entries("multi_grid", self.multi_grid.len(), self.depths[stages - 1])?;
        }
        check_size("in_channels", self.in_channels)?;
        check_size("stem planes", self.stem_planes)?;
        self.classes.map_or(Ok(()), |classes| check_size("classes", classes))?;
        check_eps(self.norm)?;
        Ok(planes)
    }

    /// A block, with a downsample where torchvision has one.
    fn block(
        &self,
        inplanes: usize,
        planes: usize,
        stride: usize,
        dilation: usize,
    ) -> Result<BlockSpec, SpecError> {
        let downsample = stride != 1 || inplanes != planes.saturating_mul(self.kind.expansion());
        match self.kind {
            BlockKind::Basic => BasicBlock::torchvision(inplanes, planes)
                .stride(stride)
                .downsample(downsample)
                .groups(self.groups)
                .base_width(self.width_per_group)
                .dilation(dilation)
                .norm_layer(self.norm)
                .build()
                .map(BlockSpec::Basic),
            BlockKind::Bottleneck => Bottleneck::torchvision(inplanes, planes)
                .stride(stride)
                .downsample(downsample)
                .groups(self.groups)
                .base_width(self.width_per_group)
                .dilation(dilation)
                .norm_layer(self.norm)
                .stride_in(self.stride_in)
                .build()
                .map(BlockSpec::Bottleneck),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dilations(network: &ResNet, stage: usize) -> Vec<usize> {
        network.stages()[stage].iter().map(BlockSpec::dilation).collect()
    }

    #[test]
    fn multi_grid_multiplies_the_new_dilation() -> Result<(), SpecError> {
        let dilated =
            ResNet::named("resnet101")?.replace_stride_with_dilation([false, false, true]);
        assert_eq!(dilations(&dilated.clone().build()?, 3), [1, 2, 2]);
        let network = dilated.multi_grid([1, 2, 4]).build()?;
        assert_eq!(dilations(&network, 3), [2, 4, 8]);
        assert_eq!(dilations(&network, 2), [1; 23]);
        assert_eq!(network.output_stride(), 16);
        Ok(())
    }

    /// The dilation accessors return arguments that build the same network again.
    #[test]
    fn dilations_are_said_again() -> Result<(), SpecError> {
        let bits = |bits: usize| [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
        for (replace, grid) in
            (0..8).map(bits).flat_map(|replace| [(replace, vec![]), (replace, vec![1, 2, 4])])
        {
            let builder = ResNet::named("resnet50")?.replace_stride_with_dilation(replace);
            let network = builder.clone().multi_grid(grid.clone()).build()?;
            assert_eq!(network.replaced_strides(), replace);
            assert_eq!(network.multi_grid(), grid);
            let again =
                ResNet::named("resnet50")?.replace_stride_with_dilation(network.replaced_strides());
            assert_eq!(again.multi_grid(network.multi_grid()).build()?, network);
        }
        let network =
            ResNet::named("resnet50")?.replace_stride_with_dilation([false, true, true]).build()?;
        assert_eq!(network.dilations(), [1, 1, 2, 4]);
        Ok(())
    }

    #[test]
    fn the_stride_of_every_block_moves() -> Result<(), SpecError> {
        let network = ResNet::named("resnet50")?.stride_in(StrideIn::Conv1).build()?;
        let strides =
            network.blocks().filter_map(|(_, block)| block.bottleneck()).map(|b| b.conv1().stride);
        assert_eq!(strides.filter(|stride| *stride == 2).count(), 3);
        Ok(())
    }

    #[test]
    fn impossible_networks_are_refused() -> Result<(), SpecError> {
        let resnet50 = || ResNet::named("resnet50");
        let refused = |builder: ResNetBuilder, text: &str| match builder.build() {
            Err(error) => assert_eq!(error.to_string(), text),
            Ok(network) => panic!("{network}"),
        };
        refused(resnet50()?.depths([3, 0, 6, 3]), "depths must be at least 1, found 0");
        refused(
            resnet50()?.depths([usize::MAX; 4]),
            &format!("depths = {} is too large (at most 1024)", usize::MAX),
        );
        refused(resnet50()?.depths([]), "number of stages must be at least 1, found 0");
        refused(resnet50()?.depths([1; 17]), "number of stages = 17 is too large (at most 16)");
        refused(resnet50()?.planes([64, 128]), "planes must have 4 entries, found 2");
        refused(resnet50()?.multi_grid([1, 2]), "multi_grid must have 3 entries, found 2");
        refused(resnet50()?.classes(Some(0)), "classes must be at least 1, found 0");
        let two = resnet50()?.replace_stride_with_dilation([true, true]);
        refused(two, "replace_stride_with_dilation must have 3 entries, found 2");
        let basic = ResNet::named("resnet18")?.replace_stride_with_dilation([false, false, true]);
        refused(basic, "layer4.1: a BasicBlock has dilation 1 only, found 2");
        let wide = ResNet::named("resnet34")?.width_per_group(128);
        refused(wide, "layer1.0: a BasicBlock has base_width 64 only, found 128");
        assert!(resnet50()?.multi_grid([1, 2, usize::MAX]).build().is_err());
        assert!(resnet50()?.planes([usize::MAX; 4]).build().is_err());
        assert!(matches!(
            ResNet::named("resnet51"),
            Err(SpecError::UnknownNetwork { known, .. }) if known.len() == 10
        ));
        Ok(())
    }
}
