//! How a family's kernels load their operands.

use super::Family;

/// How a family's kernels load their operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Each value is used once.
    Elementwise,
    /// Each lane loads its own rows and weights.
    Registers,
    /// Each lane loads some of the rows and shares them by subgroup broadcasts.
    Subgroup,
    /// Tiles of rows and weights in workgroup memory, in stages.
    Staged,
    /// Each lane keeps a window of input pixels and slides along an image row.
    Window,
    /// Each lane keeps a window of input pixels and its weights, and slides down the image.
    Slide,
    /// The input pixels of whole groups in workgroup memory, loaded once; then windows.
    StagedGroups,
    /// Tiles as in [`Method::Staged`], multiplied by matrix units.
    Matrix,
}

impl Family {
    /// How its kernels load their operands.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Conv1x1
            | Self::Conv3x3
            | Self::Conv3x3Winograd
            | Self::Conv7x7
            | Self::Conv3x3Grouped
            | Self::Conv1x1Joined => Method::Registers,
            Self::Conv1x1Staged | Self::Conv3x3Staged | Self::Conv1x1JoinedStaged => Method::Staged,
            Self::Conv1x1Subgroup
            | Self::Conv3x3Subgroup
            | Self::Conv3x3WinogradSubgroup
            | Self::Conv7x7Subgroup
            | Self::Conv1x1JoinedSubgroup
            | Self::WeightGradSubgroup => Method::Subgroup,
            Self::Conv3x3GroupedStaged => Method::StagedGroups,
            Self::Conv3x3GroupedWindow => Method::Window,
            Self::Conv3x3GroupedSlide => Method::Slide,
            Self::Conv1x1Matrix
            | Self::Conv3x3Matrix
            | Self::Conv3x3GroupedMatrix
            | Self::Conv1x1JoinedMatrix => Method::Matrix,
            Self::BatchNormRelu
            | Self::ResidualAdd
            | Self::MaxPool
            | Self::GlobalAvgPool
            | Self::Convert
            | Self::SplitKSum
            | Self::WinogradInput
            | Self::WinogradOutput
            | Self::WinogradWeights
            | Self::NormStats
            | Self::NormPartials
            | Self::NormFrozen
            | Self::NormApply
            | Self::RunningStats
            | Self::NormGradSums
            | Self::NormGradPartials
            | Self::NormGrad
            | Self::ReluGrad
            | Self::MirroredWeights
            | Self::InputGrad
            | Self::WeightGrad
            | Self::WeightGradSum
            | Self::MaxPoolGrad
            | Self::AvgPoolGrad
            | Self::AddBias
            | Self::BiasGrad
            | Self::CrossEntropy
            | Self::CrossEntropyGrad
            | Self::Gate
            | Self::Accumulate
            | Self::Velocity
            | Self::Descend
            | Self::DescendNesterov
            | Self::Moment
            | Self::SquareMoment
            | Self::AdamW => Method::Elementwise,
        }
    }

    /// Whether the family uses subgroups, which must then be as wide as its tile.
    #[must_use]
    pub const fn uses_subgroups(self) -> bool {
        matches!(self.method(), Method::Subgroup | Method::Matrix)
    }

    /// Whether the family has a separate variant for strides other than 1.
    #[must_use]
    pub const fn has_strided_form(self) -> bool {
        matches!(
            self,
            Self::Conv1x1 | Self::Conv1x1Staged | Self::Conv1x1Subgroup | Self::Conv1x1Matrix
        ) || matches!(self.method(), Method::Window | Method::StagedGroups)
    }
}
