//! The BasicBlock of the smaller ResNets as a specification.

use super::limits::{check_eps, check_sizes};
use crate::error::SpecError;
use crate::network::Norm;
use crate::op::Conv;

/// A ResNet BasicBlock (ResNet-18 and -34): two 3x3 convolutions (inplanes to planes with the
/// stride, planes to planes), each followed by a norm. ReLU follows the first norm and the sum with
/// the shortcut, which is the input or a strided 1x1 convolution and norm of it. Its expansion is
/// 1: it has as many output channels as planes.
///
/// Built by [`BasicBlock::torchvision`], which validates the parameters. The semantics follow
/// `torchvision/models/resnet.py` (`BasicBlock`), which supports no groups, other base width or
/// dilation.
///
/// ```
/// use wgpu_bottleneck::network::BasicBlock;
///
/// // layer2.0 of ResNet-18
/// let block = BasicBlock::torchvision(64, 128).stride(2).downsample(true).build()?;
/// assert_eq!((block.conv1().stride, block.conv2().stride, block.outplanes()), (2, 1, 128));
/// # Ok::<(), wgpu_bottleneck::error::SpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BasicBlock {
    parameters: BasicBlockBuilder,
}

/// The parameters of a [`BasicBlock`], for [`build`](BasicBlockBuilder::build).
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "call build() to get the specification"]
pub struct BasicBlockBuilder {
    inplanes: usize,
    planes: usize,
    stride: usize,
    downsample: bool,
    groups: usize,
    base_width: usize,
    dilation: usize,
    norm: Norm,
}

impl BasicBlockBuilder {
    /// Stride of the first convolution and of the downsample. From 1 to 2^24; default 1.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Whether the shortcut is a 1x1 convolution and norm. Default false; required if the stride is
    /// not 1 or inplanes differs from planes, always permitted.
    pub fn downsample(mut self, downsample: bool) -> Self {
        self.downsample = downsample;
        self
    }

    /// Groups. Only 1, the default, is accepted.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Base width. Only 64, the default, is accepted.
    pub fn base_width(mut self, base_width: usize) -> Self {
        self.base_width = base_width;
        self
    }

    /// Dilation. Only 1, the default, is accepted.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// The norm layer. Default BatchNorm2d with eps 1e-5.
    pub fn norm_layer(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Validates the parameters and returns the specification.
    ///
    /// # Errors
    /// A [`SpecError`] that names the parameter; [`SpecError::BasicBlock`] for groups, a base width
    /// or a dilation that torchvision rejects too.
    pub fn build(self) -> Result<BasicBlock, SpecError> {
        let Self { inplanes, planes, stride, downsample, groups, base_width, dilation, norm } =
            self;
        check_sizes(&[
            ("inplanes", inplanes),
            ("planes", planes),
            ("stride", stride),
            ("dilation", dilation),
        ])?;
        check_eps(norm)?;
        for (parameter, value, only) in
            [("groups", groups, 1), ("base_width", base_width, 64), ("dilation", dilation, 1)]
        {
            if value != only {
                return Err(SpecError::BasicBlock { parameter, value, only });
            }
        }
        if !downsample && (stride != 1 || inplanes != planes) {
            return Err(SpecError::DownsampleRequired { stride, inplanes, outplanes: planes });
        }
        Ok(BasicBlock { parameters: self })
    }
}

impl BasicBlock {
    /// torchvision's parameters: `BasicBlock(inplanes, planes, stride, downsample, groups,
    /// base_width, dilation, norm_layer)`.
    pub fn torchvision(inplanes: usize, planes: usize) -> BasicBlockBuilder {
        BasicBlockBuilder {
            inplanes,
            planes,
            stride: 1,
            downsample: false,
            groups: 1,
            base_width: 64,
            dilation: 1,
            norm: Norm::default(),
        }
    }

    /// Input channels.
    #[must_use]
    pub fn inplanes(&self) -> usize {
        self.parameters.inplanes
    }

    /// Planes: the channels between the convolutions, and the output channels.
    #[must_use]
    pub fn planes(&self) -> usize {
        self.parameters.planes
    }

    /// Output channels: planes.
    #[must_use]
    pub fn outplanes(&self) -> usize {
        self.parameters.planes
    }

    /// Stride of the first convolution and of the downsample.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.parameters.stride
    }

    /// Whether the shortcut is a convolution and norm.
    #[must_use]
    pub fn has_downsample(&self) -> bool {
        self.parameters.downsample
    }

    /// The norm layer.
    #[must_use]
    pub fn norm(&self) -> Norm {
        self.parameters.norm
    }

    /// The first convolution.
    #[must_use]
    pub fn conv1(&self) -> Conv {
        Conv::conv3x3(self.inplanes(), self.planes(), self.stride(), 1, 1)
    }

    /// The second convolution.
    #[must_use]
    pub fn conv2(&self) -> Conv {
        Conv::conv3x3(self.planes(), self.planes(), 1, 1, 1)
    }

    /// The shortcut's convolution, if there is one.
    #[must_use]
    pub fn downsample_conv(&self) -> Option<Conv> {
        self.has_downsample()
            .then(|| Conv::conv1x1(self.inplanes(), self.outplanes(), self.stride()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_torchvision_refuses_is_refused() {
        let block = || BasicBlock::torchvision(64, 64);
        let refused = |builder: BasicBlockBuilder, name: &str| match builder.build() {
            Err(SpecError::BasicBlock { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        };
        refused(block().groups(32), "groups");
        refused(block().base_width(128), "base_width");
        refused(block().dilation(2), "dilation");
        assert!(matches!(block().stride(0).build(), Err(SpecError::Zero { parameter: "stride" })));
        assert!(matches!(
            block().stride((1 << 24) + 1).build(),
            Err(SpecError::TooLarge { parameter: "stride", .. })
        ));
        assert!(matches!(block().stride(2).build(), Err(SpecError::DownsampleRequired { .. })));
        assert!(matches!(
            BasicBlock::torchvision(64, 128).build(),
            Err(SpecError::DownsampleRequired { .. })
        ));
        assert!(matches!(
            BasicBlock::torchvision(64, usize::MAX).build(),
            Err(SpecError::TooLarge { .. })
        ));
    }
}
