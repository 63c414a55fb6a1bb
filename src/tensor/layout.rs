//! Memory layout of channels on the device.
//!
//! A pixel is a run of `vec4`s. A dense tensor pads its channels once, at the end. A tensor that a
//! grouped convolution reads or writes pads **each group**, so that no `vec4` ever holds channels
//! of two groups (26 channels a group become 28). Padding always holds zeros: kernels write them,
//! and convolutions rely on it.

use super::{DType, Shape};

/// The channels of one pixel: `groups` runs of `per_group` channels, each padded to a multiple of
/// four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelLayout {
    /// Separately padded runs.
    pub groups: usize,
    /// Channels in each run, without padding.
    pub per_group: usize,
}

impl ChannelLayout {
    /// All channels in one run: the layout of every tensor outside a block.
    #[must_use]
    pub const fn dense(channels: usize) -> Self {
        Self { groups: 1, per_group: channels }
    }

    /// `channels` in `groups` runs. Runs of whole `vec4`s need no padding, which makes the layout
    /// dense. If `groups` is 0, the layout has no channels.
    #[must_use]
    pub const fn grouped(channels: usize, groups: usize) -> Self {
        match channels.checked_div(groups) {
            None => Self { groups, per_group: 0 },
            Some(per_group) if per_group.is_multiple_of(4) => Self::dense(channels),
            Some(per_group) => Self { groups, per_group },
        }
    }

    /// Channels without padding; `usize::MAX` if the product does not fit.
    #[must_use]
    pub const fn channels(self) -> usize {
        self.groups.saturating_mul(self.per_group)
    }

    /// `vec4`s of one run.
    #[must_use]
    pub const fn vec4_per_group(self) -> usize {
        self.per_group.div_ceil(4)
    }

    /// `vec4`s of one pixel; `usize::MAX` if the product does not fit.
    #[must_use]
    pub const fn vec4_per_pixel(self) -> usize {
        self.groups.saturating_mul(self.vec4_per_group())
    }

    /// Whether a convolution with this number of groups can read or write this layout. A single
    /// group accepts every layout.
    #[must_use]
    pub(crate) fn suits_groups(self, groups: usize) -> bool {
        groups == 1 || self == Self::grouped(self.channels(), groups)
    }

    /// The channel at a padded position (0 .. 4 * [`vec4_per_pixel`](Self::vec4_per_pixel)), or
    /// `None` for padding.
    #[must_use]
    pub const fn channel_at(self, position: usize) -> Option<usize> {
        let run = self.vec4_per_group().saturating_mul(4);
        // A layout without channels has no positions.
        let Some(within) = position.checked_rem(run) else { return None };
        if within < self.per_group { Some(position / run * self.per_group + within) } else { None }
    }

    /// Bytes of a whole tensor in this layout; `usize::MAX` if they do not fit.
    #[must_use]
    pub const fn bytes(self, shape: Shape, dtype: DType) -> usize {
        shape.pixels().saturating_mul(self.vec4_per_pixel()).saturating_mul(4 * dtype.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_each_group() {
        let layout = ChannelLayout::grouped(52, 2);
        assert_eq!((layout.vec4_per_group(), layout.vec4_per_pixel()), (7, 14));
        assert_eq!(layout.channel_at(25), Some(25));
        assert_eq!(layout.channel_at(26), None);
        assert_eq!(layout.channel_at(28), Some(26));
        assert_eq!(ChannelLayout::grouped(128, 32), ChannelLayout::dense(128));
        assert_eq!(ChannelLayout::dense(3).channel_at(3), None);
        assert_eq!(ChannelLayout::grouped(4, 0).channels(), 0);
    }

    /// Sizes that would wrap to small numbers.
    #[test]
    fn sizes_do_not_wrap() {
        let layout = ChannelLayout { groups: 1 << 32, per_group: 1 << 34 };
        let shape = Shape { n: 1, c: 4, h: 1 << 31, w: 1 << 31 };
        assert_eq!((layout.channels(), layout.vec4_per_pixel()), (usize::MAX, usize::MAX));
        assert_eq!(ChannelLayout::dense(4).bytes(shape, DType::F32), usize::MAX);
        assert_eq!(layout.bytes(Shape { h: 1, w: 1, ..shape }, DType::F16), usize::MAX);
    }
}
