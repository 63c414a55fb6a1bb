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
    /// dense.
    #[must_use]
    pub const fn grouped(channels: usize, groups: usize) -> Self {
        let per_group = channels / groups;
        if per_group.is_multiple_of(4) { Self::dense(channels) } else { Self { groups, per_group } }
    }

    /// Channels without padding.
    #[must_use]
    pub const fn channels(self) -> usize {
        self.groups * self.per_group
    }

    /// `vec4`s of one run.
    #[must_use]
    pub const fn vec4_per_group(self) -> usize {
        self.per_group.div_ceil(4)
    }

    /// `vec4`s of one pixel.
    #[must_use]
    pub const fn vec4_per_pixel(self) -> usize {
        self.groups * self.vec4_per_group()
    }

    /// The channel at a padded position (0 .. 4 * [`vec4_per_pixel`](Self::vec4_per_pixel)), or
    /// `None` for padding.
    #[must_use]
    pub const fn channel_at(self, position: usize) -> Option<usize> {
        let run = self.vec4_per_group() * 4;
        let within = position % run;
        if within < self.per_group { Some(position / run * self.per_group + within) } else { None }
    }

    /// Bytes of a whole tensor in this layout.
    #[must_use]
    pub const fn bytes(self, shape: Shape, dtype: DType) -> usize {
        shape.pixels() * self.vec4_per_pixel() * 4 * dtype.bytes()
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
    }
}
