//! The families: one per WGSL file and use, and the tile that cuts their work.

use crate::op::{Conv, KernelSize, Op};

/// A kernel family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `conv1x1.wgsl`.
    Conv1x1,
    /// `conv3x3.wgsl`, dense.
    Conv3x3,
    /// `conv3x3.wgsl`, grouped.
    Conv3x3Grouped,
    /// `conv1x1_joined.wgsl`.
    Conv1x1Joined,
    /// `conv1x1_subgroup.wgsl`.
    Conv1x1Subgroup,
    /// `conv3x3_subgroup.wgsl`, dense.
    Conv3x3Subgroup,
    /// `conv1x1_joined_subgroup.wgsl`.
    Conv1x1JoinedSubgroup,
    /// `batchnorm_relu.wgsl`.
    BatchNormRelu,
    /// `residual_add.wgsl`.
    ResidualAdd,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 9] = [
        Self::Conv1x1,
        Self::Conv3x3,
        Self::Conv3x3Grouped,
        Self::Conv1x1Joined,
        Self::Conv1x1Subgroup,
        Self::Conv3x3Subgroup,
        Self::Conv1x1JoinedSubgroup,
        Self::BatchNormRelu,
        Self::ResidualAdd,
    ];

    /// The families that can carry out an operation; none for a grouped 1x1 convolution, or joined ones of another kind than
    /// a Bottleneck has.
    #[must_use]
    pub fn of(op: &Op) -> &'static [Self] {
        let dense1x1 = |conv: &Conv| conv.kernel == KernelSize::One && conv.groups == 1;
        match op {
            Op::Conv { conv, .. } if dense1x1(conv) => &[Self::Conv1x1, Self::Conv1x1Subgroup],
            Op::Conv { conv: Conv { kernel: KernelSize::One, .. }, .. } => &[],
            Op::Conv { conv: Conv { groups: 1, .. }, .. } => &[Self::Conv3x3, Self::Conv3x3Subgroup],
            Op::Conv { .. } => &[Self::Conv3x3Grouped],
            Op::JoinedConv { main, shortcut, .. } if dense1x1(main) && dense1x1(shortcut) && main.stride == 1 => {
                &[Self::Conv1x1Joined, Self::Conv1x1JoinedSubgroup]
            }
            Op::JoinedConv { .. } => &[],
            Op::BatchNorm { .. } => &[Self::BatchNormRelu],
            Op::Add { .. } => &[Self::ResidualAdd],
        }
    }

    /// Whether the family broadcasts within subgroups, of which each must be as wide as its tile.
    #[must_use]
    pub const fn uses_subgroups(self) -> bool {
        matches!(self, Self::Conv1x1Subgroup | Self::Conv3x3Subgroup | Self::Conv1x1JoinedSubgroup)
    }

    /// The family's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv1x1 => "conv1x1",
            Self::Conv3x3 => "conv3x3",
            Self::Conv3x3Grouped => "conv3x3_grouped",
            Self::Conv1x1Joined => "conv1x1_joined",
            Self::Conv1x1Subgroup => "conv1x1_subgroup",
            Self::Conv3x3Subgroup => "conv3x3_subgroup",
            Self::Conv1x1JoinedSubgroup => "conv1x1_joined_subgroup",
            Self::BatchNormRelu => "batchnorm_relu",
            Self::ResidualAdd => "residual_add",
        }
    }

    /// Its file below `shaders/`, without `.wgsl`.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Conv3x3Grouped => "conv3x3",
            other => other.name(),
        }
    }
}

/// How a kernel's work is cut. Elementwise kernels use `lanes` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Invocations of a workgroup along the output channels.
    pub lanes: u32,
    /// Row tiles of a workgroup, one above the other.
    pub slices: u32,
    /// Output pixels of one invocation.
    pub rows: u32,
    /// `vec4`s of output channels of one invocation.
    pub cols: u32,
}

impl Tile {
    /// A tile from its four numbers.
    #[must_use]
    pub const fn new(lanes: u32, slices: u32, rows: u32, cols: u32) -> Self {
        Self { lanes, slices, rows, cols }
    }
}
