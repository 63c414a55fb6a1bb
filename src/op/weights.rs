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
    /// Values on the device, padding included; `usize::MAX` if their number does not fit, or if the
    /// number of groups is 0.
    #[must_use]
    pub const fn values(&self) -> usize {
        let Self { conv, input, output } = self;
        padded_weights(*conv, conv.taps(), *input, *output)
    }

    /// The layout of the [mirrored](Conv::mirrored) convolution's weights.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self { conv: self.conv.mirrored(), input: self.output, output: self.input }
    }
}

/// Values of a matrix of weights with this number of taps, padding included; `usize::MAX` if their
/// number does not fit, or if the number of groups is 0.
#[must_use]
pub(crate) const fn padded_weights(
    conv: Conv,
    taps: usize,
    input: ChannelLayout,
    output: ChannelLayout,
) -> usize {
    let (Some(inputs), Some(outputs)) =
        (input.vec4_per_pixel().checked_mul(4), output.vec4_per_pixel().checked_mul(4))
    else {
        return usize::MAX;
    };
    match inputs.checked_div(conv.groups) {
        Some(inputs) => inputs.saturating_mul(taps).saturating_mul(outputs),
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_do_not_wrap() {
        let dense = ChannelLayout::dense(4);
        let conv = Conv::conv1x1(4, 4, 1);
        let of = |conv, input, output| WeightLayout { conv, input, output }.values();
        assert_eq!(of(conv, dense, dense), 16);
        assert_eq!(of(Conv { groups: 0, ..conv }, dense, dense), usize::MAX);
        let wide = ChannelLayout::dense(1 << 33);
        assert_eq!(of(conv, wide, wide), usize::MAX);
        // 2^62 vec4s of four values are 2^64 values. The division by the groups must not hide that.
        let wraps = ChannelLayout { groups: 1 << 62, per_group: 1 };
        assert_eq!(of(Conv { groups: 4, ..conv }, wraps, dense), usize::MAX);
    }
}
