//! How weights lie on the device where they are a tensor.

use super::Conv;
use crate::tensor::ChannelLayout;

/// A convolution's weights between channels of these layouts: `[K / 4][N / 4][4][4]`, K running tap by tap with the input channels innermost,
/// N over the output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WeightLayout {
    /// The convolution.
    pub conv: Conv,
    /// How the channels lie that it reads.
    pub input: ChannelLayout,
    /// How the channels lie that it writes.
    pub output: ChannelLayout,
}

impl WeightLayout {
    /// Values on the device, padding included.
    #[must_use]
    pub const fn values(&self) -> usize {
        let Self { conv, input, output } = self;
        input.vec4_per_pixel() * 4 / conv.groups * conv.taps() * output.vec4_per_pixel() * 4
    }

    /// Those of the [mirrored](Conv::mirrored) convolution.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self { conv: self.conv.mirrored(), input: self.output, output: self.input }
    }
}
