//! The families that implement each operation.

use super::Family;
use crate::op::{Conv, KernelSize, Op, TrainOp, UpdateOp};

impl Family {
    /// The families that implement an operation; empty for a grouped 1x1 convolution, for a 7x7
    /// convolution that is grouped or adds a residual, and for joined convolutions that do not
    /// occur in a Bottleneck.
    #[must_use]
    pub fn of(op: &Op) -> &'static [Self] {
        let dense1x1 = |conv: &Conv| conv.kernel == KernelSize::One && conv.groups == 1;
        match op {
            Op::Conv { conv, .. } if dense1x1(conv) => {
                &[Self::Conv1x1, Self::Conv1x1Staged, Self::Conv1x1Subgroup, Self::Conv1x1Matrix]
            }
            Op::Conv { conv: Conv { kernel: KernelSize::One, .. }, .. } => &[],
            Op::Conv { conv: Conv { kernel: KernelSize::Seven, groups, .. }, epilogue } => {
                match (groups, epilogue.residual) {
                    (1, false) => &[Self::Conv7x7, Self::Conv7x7Subgroup],
                    _ => &[],
                }
            }
            Op::Conv { conv: Conv { groups: 1, .. }, .. } => &[
                Self::Conv3x3,
                Self::Conv3x3Staged,
                Self::Conv3x3Subgroup,
                Self::Conv3x3Matrix,
                Self::Conv3x3Winograd,
                Self::Conv3x3WinogradSubgroup,
            ],
            Op::Conv { .. } => &[
                Self::Conv3x3Grouped,
                Self::Conv3x3GroupedStaged,
                Self::Conv3x3GroupedWindow,
                Self::Conv3x3GroupedSlide,
                Self::Conv3x3GroupedMatrix,
            ],
            Op::JoinedConv { main, shortcut, .. }
                if dense1x1(main) && dense1x1(shortcut) && main.stride == 1 =>
            {
                &[
                    Self::Conv1x1Joined,
                    Self::Conv1x1JoinedStaged,
                    Self::Conv1x1JoinedSubgroup,
                    Self::Conv1x1JoinedMatrix,
                ]
            }
            Op::JoinedConv { .. } => &[],
            Op::BatchNorm { .. } => &[Self::BatchNormRelu],
            Op::Add { .. } => &[Self::ResidualAdd],
            Op::MaxPool { .. } => &[Self::MaxPool],
            Op::GlobalAvgPool { .. } => &[Self::GlobalAvgPool],
            Op::Convert { .. } => &[Self::Convert],
            Op::Train(op) => Self::of_training(op),
        }
    }

    /// The families that implement an operation of training.
    const fn of_training(op: &TrainOp) -> &'static [Self] {
        match op {
            TrainOp::NormStats { .. } => &[Self::NormStats],
            TrainOp::NormFrozen { .. } => &[Self::NormFrozen],
            TrainOp::NormApply { .. } => &[Self::NormApply],
            TrainOp::RunningStats { .. } => &[Self::RunningStats],
            TrainOp::NormGradSums { .. } => &[Self::NormGradSums],
            TrainOp::NormGrad { .. } => &[Self::NormGrad],
            TrainOp::ReluGrad { .. } => &[Self::ReluGrad],
            TrainOp::MirroredWeights { .. } => &[Self::MirroredWeights],
            TrainOp::InputGrad { .. } => &[Self::InputGrad],
            TrainOp::WeightGrad { conv: Conv { groups: 1, .. } } => {
                &[Self::WeightGrad, Self::WeightGradSubgroup]
            }
            TrainOp::WeightGrad { .. } => &[Self::WeightGrad],
            TrainOp::MaxPoolGrad { .. } => &[Self::MaxPoolGrad],
            TrainOp::AvgPoolGrad { .. } => &[Self::AvgPoolGrad],
            TrainOp::AddBias { .. } => &[Self::AddBias],
            TrainOp::BiasGrad { .. } => &[Self::BiasGrad],
            TrainOp::CrossEntropy { .. } => &[Self::CrossEntropy],
            TrainOp::CrossEntropyGrad { .. } => &[Self::CrossEntropyGrad],
            TrainOp::Gate => &[Self::Gate],
            TrainOp::Update(op) => Self::of_update(op),
        }
    }

    /// The families that implement an operation of an optimiser.
    const fn of_update(op: &UpdateOp) -> &'static [Self] {
        match op {
            UpdateOp::Accumulate => &[Self::Accumulate],
            UpdateOp::Velocity { .. } => &[Self::Velocity],
            UpdateOp::Descend { nesterov: false, .. } => &[Self::Descend],
            UpdateOp::Descend { nesterov: true, .. } => &[Self::DescendNesterov],
            UpdateOp::Moment { squares: false, .. } => &[Self::Moment],
            UpdateOp::Moment { squares: true, .. } => &[Self::SquareMoment],
            UpdateOp::AdamW { .. } => &[Self::AdamW],
        }
    }
}
