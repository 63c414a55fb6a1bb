//! The Bottleneck block as a specification.

use super::limits::{check_eps, check_size, check_sizes};
use crate::error::SpecError;
use crate::network::Norm;
use crate::op::Conv;

/// Output channels per plane.
pub const EXPANSION: usize = 4;

/// Which convolution of a Bottleneck has the stride. Shapes do not reveal it: both forms have the
/// same state dict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StrideIn {
    /// The 3x3 convolution: torchvision's form, also known as ResNet v1.5.
    #[default]
    Conv2,
    /// The first 1x1 convolution: the original form of the paper, used by the models of Caffe and
    /// detectron.
    Conv1,
}

/// A ResNet Bottleneck: 1x1 (inplanes to width), 3x3 (stride, groups, dilation) and 1x1 (width to
/// `4 * planes`) convolutions, each followed by a norm. ReLU follows the first two norms and the
/// sum with the shortcut, which is the input or a strided 1x1 convolution and norm of it.
///
/// Built by [`Bottleneck::torchvision`] or [`Bottleneck::deeplab`], which validate the parameters.
/// The semantics follow `torchvision/models/resnet.py` (`Bottleneck`), with the stride in the
/// 3x3 convolution unless [`StrideIn`] differs.
///
/// ```
/// use wgpu_bottleneck::Bottleneck;
///
/// // layer2.0 of ResNeXt-50 32x4d
/// let block = Bottleneck::torchvision(256, 128)
///     .stride(2)
///     .groups(32)
///     .base_width(4)
///     .downsample(true)
///     .build()?;
/// assert_eq!((block.width(), block.outplanes()), (256, 512));
/// # Ok::<(), wgpu_bottleneck::error::SpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bottleneck {
    parameters: BottleneckBuilder,
    width: usize,
}

/// The parameters of a [`Bottleneck`], for [`build`](BottleneckBuilder::build).
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "call build() to get the specification"]
pub struct BottleneckBuilder {
    inplanes: usize,
    planes: usize,
    stride: usize,
    downsample: bool,
    groups: usize,
    base_width: usize,
    dilation: usize,
    norm: Norm,
    stride_in: StrideIn,
}

impl BottleneckBuilder {
    /// Stride of the block, which applies to one of its convolutions
    /// ([`stride_in`](Self::stride_in)) and to the downsample. From 1 to 2^24; default 1.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Whether the shortcut is a 1x1 convolution and norm. Default false; required if the stride is
    /// not 1 or inplanes differs from 4 * planes, always permitted.
    pub fn downsample(mut self, downsample: bool) -> Self {
        self.downsample = downsample;
        self
    }

    /// Groups of the 3x3 convolution. Default 1.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Width per 64 planes and group. Default 64.
    pub fn base_width(mut self, base_width: usize) -> Self {
        self.base_width = base_width;
        self
    }

    /// Dilation and padding of the 3x3 convolution (DeepLab's `rate`). From 1 to 2^24; default 1.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// The norm layer. Default BatchNorm2d with eps 1e-5.
    pub fn norm_layer(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Which convolution has the stride. Default [`StrideIn::Conv2`], as in torchvision.
    pub fn stride_in(mut self, stride_in: StrideIn) -> Self {
        self.stride_in = stride_in;
        self
    }

    /// Validates the parameters and returns the specification.
    ///
    /// # Errors
    /// A [`SpecError`] that names the parameter.
    pub fn build(self) -> Result<Bottleneck, SpecError> {
        let Self {
            inplanes, planes, stride, downsample, groups, base_width, dilation, norm, ..
        } = self;
        check_sizes(&[
            ("inplanes", inplanes),
            ("planes", planes),
            ("stride", stride),
            ("groups", groups),
            ("base_width", base_width),
            ("dilation", dilation),
        ])?;
        check_eps(norm)?;
        let (width, outplanes) = (width(planes, base_width, groups), planes * EXPANSION);
        if width == 0 {
            return Err(SpecError::ZeroWidth { planes, base_width, groups });
        }
        check_size("width", width)?;
        check_size("4 * planes", outplanes)?;
        if !downsample && (stride != 1 || inplanes != outplanes) {
            return Err(SpecError::DownsampleRequired { stride, inplanes, outplanes });
        }
        Ok(Bottleneck { parameters: self, width })
    }
}

/// `int(planes * base_width / 64) * groups`. Exact: all factors are at most `limits::LIMIT`, and
/// the products are computed in 128 bits.
fn width(planes: usize, base_width: usize, groups: usize) -> usize {
    ((planes as u128 * base_width as u128 / 64) * groups as u128).min(usize::MAX as u128) as usize
}

impl Bottleneck {
    /// torchvision's parameters: `Bottleneck(inplanes, planes, stride, downsample, groups,
    /// base_width, dilation, norm_layer)`.
    pub fn torchvision(inplanes: usize, planes: usize) -> BottleneckBuilder {
        BottleneckBuilder {
            inplanes,
            planes,
            stride: 1,
            downsample: false,
            groups: 1,
            base_width: 64,
            dilation: 1,
            norm: Norm::default(),
            stride_in: StrideIn::default(),
        }
    }

    /// DeepLab's parameters: `Bottleneck(inplanes, planes, stride, downsample, rate)`, where `rate`
    /// is the dilation and the padding of the 3x3 convolution; groups 1, base width 64.
    pub fn deeplab(inplanes: usize, planes: usize, rate: usize) -> BottleneckBuilder {
        Self::torchvision(inplanes, planes).dilation(rate)
    }

    /// Input channels.
    #[must_use]
    pub fn inplanes(&self) -> usize {
        self.parameters.inplanes
    }

    /// Planes: a quarter of the output channels.
    #[must_use]
    pub fn planes(&self) -> usize {
        self.parameters.planes
    }

    /// Output channels: 4 * planes.
    #[must_use]
    pub fn outplanes(&self) -> usize {
        self.parameters.planes * EXPANSION
    }

    /// Channels between the convolutions: `int(planes * base_width / 64) * groups`.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Stride of the block, which applies to one of its convolutions and to the downsample.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.parameters.stride
    }

    /// Groups of the 3x3 convolution.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.parameters.groups
    }

    /// Width per 64 planes and group.
    #[must_use]
    pub fn base_width(&self) -> usize {
        self.parameters.base_width
    }

    /// Dilation and padding of the 3x3 convolution.
    #[must_use]
    pub fn dilation(&self) -> usize {
        self.parameters.dilation
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

    /// Which convolution has the stride.
    #[must_use]
    pub fn stride_in(&self) -> StrideIn {
        self.parameters.stride_in
    }

    /// The strides of the first and of the second convolution.
    fn strides(&self) -> (usize, usize) {
        match self.stride_in() {
            StrideIn::Conv2 => (1, self.stride()),
            StrideIn::Conv1 => (self.stride(), 1),
        }
    }

    /// The first convolution.
    #[must_use]
    pub fn conv1(&self) -> Conv {
        Conv::conv1x1(self.inplanes(), self.width, self.strides().0)
    }

    /// The second convolution.
    #[must_use]
    pub fn conv2(&self) -> Conv {
        Conv::conv3x3(self.width, self.width, self.strides().1, self.dilation(), self.groups())
    }

    /// The third convolution.
    #[must_use]
    pub fn conv3(&self) -> Conv {
        Conv::conv1x1(self.width, self.outplanes(), 1)
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
    fn width_is_truncated_before_the_groups() -> Result<(), SpecError> {
        // int(20 * 26 / 64) = 8, times 2.
        let block = Bottleneck::torchvision(80, 20).base_width(26).groups(2).build()?;
        assert_eq!(block.width(), 16);
        Ok(())
    }

    #[test]
    fn one_convolution_strides() -> Result<(), SpecError> {
        let block = Bottleneck::torchvision(256, 128).stride(2).downsample(true);
        let strides = |block: Bottleneck| {
            [
                block.conv1().stride,
                block.conv2().stride,
                block.downsample_conv().map_or(0, |conv| conv.stride),
            ]
        };
        assert_eq!(strides(block.build()?), [1, 2, 2]);
        assert_eq!(strides(block.stride_in(StrideIn::Conv1).build()?), [2, 1, 2]);
        Ok(())
    }

    #[test]
    fn impossible_blocks_are_refused() {
        let block = Bottleneck::torchvision;
        assert!(matches!(
            block(256, 64).stride(0).build(),
            Err(SpecError::Zero { parameter: "stride" })
        ));
        assert!(matches!(
            block(256, 64).dilation(0).build(),
            Err(SpecError::Zero { parameter: "dilation" })
        ));
        assert!(matches!(
            block(256, 64).groups(0).build(),
            Err(SpecError::Zero { parameter: "groups" })
        ));
        assert!(matches!(block(4, 1).base_width(63).build(), Err(SpecError::ZeroWidth { .. })));
        assert!(matches!(
            block(256, 64).stride(2).build(),
            Err(SpecError::DownsampleRequired { .. })
        ));
        assert!(matches!(block(1, 64).build(), Err(SpecError::DownsampleRequired { .. })));
        assert!(matches!(
            block(usize::MAX, 64).build(),
            Err(SpecError::TooLarge { parameter: "inplanes", .. })
        ));
        let strided = |stride| block(256, 64).downsample(true).stride(stride).build();
        assert!(strided(1 << 24).is_ok() && block(256, 64).dilation(1 << 24).build().is_ok());
        for large in [(1 << 24) + 1, 1 << 32, usize::MAX] {
            assert!(matches!(
                strided(large),
                Err(SpecError::TooLarge { parameter: "stride", value, .. }) if value == large
            ));
            assert!(matches!(
                block(256, 64).dilation(large).build(),
                Err(SpecError::TooLarge { parameter: "dilation", value, .. }) if value == large
            ));
        }
        assert!(matches!(
            block(4 << 22, 1 << 22).base_width(1 << 20).build(),
            Err(SpecError::TooLarge { .. })
        ));
        let nan = Norm::BatchNorm2d { eps: f64::NAN };
        assert!(matches!(block(256, 64).norm_layer(nan).build(), Err(SpecError::Eps { .. })));
        assert!(matches!(
            Norm::from_name("GroupNorm", 1e-5),
            Err(SpecError::UnsupportedNorm { name }) if name == "GroupNorm"
        ));
    }
}
