//! The device layout of weights that are a tensor of the plan.

use super::Conv;
use crate::tensor::ChannelLayout;

/// A convolution's weights between channels of these layouts: `[K / 4][N / 4][4][4]`. K runs tap by
/// tap with the input channels innermost, N runs over the output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WeightLayout {
    /// The convolution.
    pub conv: Conv,
    /// The layout of the input channels.
    pub input: ChannelLayout,
    /// The layout of the output channels.
    pub output: ChannelLayout,
}

impl WeightLayout {
    /// Values on the device, padding included.
    #[must_use]
    pub const fn values(&self) -> usize {
        let Self { conv, input, output } = self;
        input.vec4_per_pixel() * 4 / conv.groups * conv.taps() * output.vec4_per_pixel() * 4
    }

    /// The layout of the [mirrored](Conv::mirrored) convolution's weights.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self { conv: self.conv.mirrored(), input: self.output, output: self.input }
    }
}
