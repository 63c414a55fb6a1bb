//! The families: one per WGSL file and use.

/// A kernel family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `conv1x1.wgsl`.
    Conv1x1,
    /// `conv1x1_staged.wgsl`.
    Conv1x1Staged,
    /// `conv1x1_subgroup.wgsl`.
    Conv1x1Subgroup,
    /// `conv1x1_matrix.wgsl`.
    Conv1x1Matrix,
    /// `conv3x3.wgsl`, dense.
    Conv3x3,
    /// `conv3x3.wgsl` with 7x7 taps.
    Conv7x7,
    /// `conv3x3_subgroup.wgsl` with 7x7 taps.
    Conv7x7Subgroup,
    /// `conv3x3_staged.wgsl`.
    Conv3x3Staged,
    /// `conv3x3_subgroup.wgsl`, dense.
    Conv3x3Subgroup,
    /// `conv3x3_matrix.wgsl`.
    Conv3x3Matrix,
    /// Winograd convolution, with `conv1x1.wgsl` for its GEMM batch.
    Conv3x3Winograd,
    /// Winograd convolution, with `conv1x1_subgroup.wgsl` for its GEMM batch.
    Conv3x3WinogradSubgroup,
    /// `winograd_input.wgsl`: the first dispatch of a Winograd convolution.
    WinogradInput,
    /// `winograd_output.wgsl`: the last dispatch of a Winograd convolution.
    WinogradOutput,
    /// `train/winograd_weights.wgsl`: before all others, if weights change.
    WinogradWeights,
    /// `conv3x3.wgsl`, grouped.
    Conv3x3Grouped,
    /// `conv3x3_grouped_staged.wgsl`.
    Conv3x3GroupedStaged,
    /// `conv3x3_grouped_window.wgsl`.
    Conv3x3GroupedWindow,
    /// `conv3x3_grouped_slide.wgsl`.
    Conv3x3GroupedSlide,
    /// `conv3x3_grouped_matrix.wgsl`.
    Conv3x3GroupedMatrix,
    /// `conv1x1_joined.wgsl`.
    Conv1x1Joined,
    /// `conv1x1_joined_staged.wgsl`.
    Conv1x1JoinedStaged,
    /// `conv1x1_joined_subgroup.wgsl`.
    Conv1x1JoinedSubgroup,
    /// `conv1x1_joined_matrix.wgsl`.
    Conv1x1JoinedMatrix,
    /// `split_k_sum.wgsl`: the last dispatch of a convolution with K split into slices.
    SplitKSum,
    /// `batchnorm_relu.wgsl`.
    BatchNormRelu,
    /// `residual_add.wgsl`.
    ResidualAdd,
    /// `max_pool.wgsl`.
    MaxPool,
    /// `global_avg_pool.wgsl`.
    GlobalAvgPool,
    /// `convert.wgsl`.
    Convert,
    /// `train/norm_stats.wgsl`.
    NormStats,
    /// `train/norm_partials.wgsl`.
    NormPartials,
    /// `train/norm_frozen.wgsl`.
    NormFrozen,
    /// `train/norm_apply.wgsl`.
    NormApply,
    /// `train/running_stats.wgsl`.
    RunningStats,
    /// `train/norm_grad_sums.wgsl`.
    NormGradSums,
    /// `train/norm_grad_partials.wgsl`.
    NormGradPartials,
    /// `train/norm_grad.wgsl`.
    NormGrad,
    /// `train/relu_grad.wgsl`.
    ReluGrad,
    /// `train/mirrored_weights.wgsl`.
    MirroredWeights,
    /// `train/input_grad.wgsl`.
    InputGrad,
    /// `train/weight_grad.wgsl`.
    WeightGrad,
    /// `train/weight_grad_subgroup.wgsl`.
    WeightGradSubgroup,
    /// `train/weight_grad_sum.wgsl`.
    WeightGradSum,
    /// `train/max_pool_grad.wgsl`.
    MaxPoolGrad,
    /// `train/avg_pool_grad.wgsl`.
    AvgPoolGrad,
    /// `train/add_bias.wgsl`.
    AddBias,
    /// `train/bias_grad.wgsl`.
    BiasGrad,
    /// `train/cross_entropy.wgsl`.
    CrossEntropy,
    /// `train/cross_entropy_grad.wgsl`.
    CrossEntropyGrad,
    /// `train/gate.wgsl`.
    Gate,
    /// `train/accumulate.wgsl`.
    Accumulate,
    /// `train/velocity.wgsl`.
    Velocity,
    /// `train/descend.wgsl`.
    Descend,
    /// `train/descend.wgsl` with Nesterov momentum.
    DescendNesterov,
    /// `train/moment.wgsl`.
    Moment,
    /// `train/moment.wgsl` for squared gradients.
    SquareMoment,
    /// `train/adamw.wgsl`.
    AdamW,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 58] = [
        Self::Conv1x1,
        Self::Conv1x1Staged,
        Self::Conv1x1Subgroup,
        Self::Conv1x1Matrix,
        Self::Conv3x3,
        Self::Conv3x3Staged,
        Self::Conv3x3Subgroup,
        Self::Conv3x3Matrix,
        Self::Conv3x3Winograd,
        Self::Conv3x3WinogradSubgroup,
        Self::WinogradInput,
        Self::WinogradOutput,
        Self::WinogradWeights,
        Self::Conv3x3Grouped,
        Self::Conv3x3GroupedStaged,
        Self::Conv3x3GroupedWindow,
        Self::Conv3x3GroupedSlide,
        Self::Conv3x3GroupedMatrix,
        Self::Conv7x7,
        Self::Conv7x7Subgroup,
        Self::Conv1x1Joined,
        Self::Conv1x1JoinedStaged,
        Self::Conv1x1JoinedSubgroup,
        Self::Conv1x1JoinedMatrix,
        Self::SplitKSum,
        Self::BatchNormRelu,
        Self::ResidualAdd,
        Self::MaxPool,
        Self::GlobalAvgPool,
        Self::Convert,
        Self::NormStats,
        Self::NormPartials,
        Self::NormFrozen,
        Self::NormApply,
        Self::RunningStats,
        Self::NormGradSums,
        Self::NormGradPartials,
        Self::NormGrad,
        Self::ReluGrad,
        Self::MirroredWeights,
        Self::InputGrad,
        Self::WeightGrad,
        Self::WeightGradSubgroup,
        Self::WeightGradSum,
        Self::MaxPoolGrad,
        Self::AvgPoolGrad,
        Self::AddBias,
        Self::BiasGrad,
        Self::CrossEntropy,
        Self::CrossEntropyGrad,
        Self::Gate,
        Self::Accumulate,
        Self::Velocity,
        Self::Descend,
        Self::DescendNesterov,
        Self::Moment,
        Self::SquareMoment,
        Self::AdamW,
    ];

    /// Whether its kernels are used in training only.
    #[must_use]
    pub const fn is_training(self) -> bool {
        matches!(
            self,
            Self::NormStats
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
                | Self::WeightGradSubgroup
                | Self::WeightGradSum
                | Self::WinogradWeights
                | Self::MaxPoolGrad
                | Self::AvgPoolGrad
                | Self::AddBias
                | Self::BiasGrad
                | Self::CrossEntropy
                | Self::CrossEntropyGrad
                | Self::Gate
        ) || self.is_update()
    }

    /// Whether its kernels belong to an optimiser.
    #[must_use]
    pub const fn is_update(self) -> bool {
        matches!(
            self,
            Self::Accumulate
                | Self::Velocity
                | Self::Descend
                | Self::DescendNesterov
                | Self::Moment
                | Self::SquareMoment
                | Self::AdamW
        )
    }

    /// Whether its kernels only run as dispatches in addition to the kernel that the step is named
    /// after.
    #[must_use]
    pub const fn is_auxiliary(self) -> bool {
        self.is_transform()
            || matches!(
                self,
                Self::SplitKSum | Self::NormPartials | Self::NormGradPartials | Self::WeightGradSum
            )
    }

    /// Whether its kernels are Winograd transforms.
    #[must_use]
    pub const fn is_transform(self) -> bool {
        matches!(self, Self::WinogradInput | Self::WinogradOutput | Self::WinogradWeights)
    }

    /// Whether its kernels compute the GEMM batch of a Winograd convolution, with a transform
    /// before and one after.
    #[must_use]
    pub const fn is_winograd(self) -> bool {
        matches!(self, Self::Conv3x3Winograd | Self::Conv3x3WinogradSubgroup)
    }

    /// The family's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv1x1 => "conv1x1",
            Self::Conv1x1Staged => "conv1x1_staged",
            Self::Conv1x1Subgroup => "conv1x1_subgroup",
            Self::Conv1x1Matrix => "conv1x1_matrix",
            Self::Conv3x3 => "conv3x3",
            Self::Conv3x3Staged => "conv3x3_staged",
            Self::Conv3x3Subgroup => "conv3x3_subgroup",
            Self::Conv3x3Matrix => "conv3x3_matrix",
            Self::Conv3x3Winograd => "conv3x3_winograd",
            Self::Conv3x3WinogradSubgroup => "conv3x3_winograd_subgroup",
            Self::WinogradInput => "winograd_input",
            Self::WinogradOutput => "winograd_output",
            Self::WinogradWeights => "winograd_weights",
            Self::Conv3x3Grouped => "conv3x3_grouped",
            Self::Conv3x3GroupedStaged => "conv3x3_grouped_staged",
            Self::Conv3x3GroupedWindow => "conv3x3_grouped_window",
            Self::Conv3x3GroupedSlide => "conv3x3_grouped_slide",
            Self::Conv3x3GroupedMatrix => "conv3x3_grouped_matrix",
            Self::Conv1x1Joined => "conv1x1_joined",
            Self::Conv1x1JoinedStaged => "conv1x1_joined_staged",
            Self::Conv1x1JoinedSubgroup => "conv1x1_joined_subgroup",
            Self::Conv1x1JoinedMatrix => "conv1x1_joined_matrix",
            Self::SplitKSum => "split_k_sum",
            Self::Conv7x7 => "conv7x7",
            Self::Conv7x7Subgroup => "conv7x7_subgroup",
            Self::BatchNormRelu => "batchnorm_relu",
            Self::ResidualAdd => "residual_add",
            Self::MaxPool => "max_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::Convert => "convert",
            Self::NormStats => "norm_stats",
            Self::NormPartials => "norm_partials",
            Self::NormFrozen => "norm_frozen",
            Self::NormApply => "norm_apply",
            Self::RunningStats => "running_stats",
            Self::NormGradSums => "norm_grad_sums",
            Self::NormGradPartials => "norm_grad_partials",
            Self::NormGrad => "norm_grad",
            Self::ReluGrad => "relu_grad",
            Self::MirroredWeights => "mirrored_weights",
            Self::InputGrad => "input_grad",
            Self::WeightGrad => "weight_grad",
            Self::WeightGradSubgroup => "weight_grad_subgroup",
            Self::WeightGradSum => "weight_grad_sum",
            Self::MaxPoolGrad => "max_pool_grad",
            Self::AvgPoolGrad => "avg_pool_grad",
            Self::AddBias => "add_bias",
            Self::BiasGrad => "bias_grad",
            Self::CrossEntropy => "cross_entropy",
            Self::CrossEntropyGrad => "cross_entropy_grad",
            Self::Gate => "gate",
            Self::Accumulate => "accumulate",
            Self::Velocity => "velocity",
            Self::Descend => "descend",
            Self::DescendNesterov => "descend_nesterov",
            Self::Moment => "moment",
            Self::SquareMoment => "square_moment",
            Self::AdamW => "adamw",
        }
    }

    /// Its file in `shaders/`, without `.wgsl`.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Conv3x3Grouped | Self::Conv7x7 => "conv3x3",
            Self::Conv7x7Subgroup => "conv3x3_subgroup",
            Self::Conv3x3Winograd => "conv1x1",
            Self::Conv3x3WinogradSubgroup => "conv1x1_subgroup",
            Self::NormStats => "train/norm_stats",
            Self::NormPartials => "train/norm_partials",
            Self::NormFrozen => "train/norm_frozen",
            Self::NormApply => "train/norm_apply",
            Self::RunningStats => "train/running_stats",
            Self::NormGradSums => "train/norm_grad_sums",
            Self::NormGradPartials => "train/norm_grad_partials",
            Self::NormGrad => "train/norm_grad",
            Self::ReluGrad => "train/relu_grad",
            Self::MirroredWeights => "train/mirrored_weights",
            Self::InputGrad => "train/input_grad",
            Self::WeightGrad => "train/weight_grad",
            Self::WeightGradSubgroup => "train/weight_grad_subgroup",
            Self::WeightGradSum => "train/weight_grad_sum",
            Self::WinogradWeights => "train/winograd_weights",
            Self::MaxPoolGrad => "train/max_pool_grad",
            Self::AvgPoolGrad => "train/avg_pool_grad",
            Self::AddBias => "train/add_bias",
            Self::BiasGrad => "train/bias_grad",
            Self::CrossEntropy => "train/cross_entropy",
            Self::CrossEntropyGrad => "train/cross_entropy_grad",
            Self::Gate => "train/gate",
            Self::Accumulate => "train/accumulate",
            Self::Velocity => "train/velocity",
            Self::AdamW => "train/adamw",
            Self::Descend | Self::DescendNesterov => "train/descend",
            Self::Moment | Self::SquareMoment => "train/moment",
            other => other.name(),
        }
    }
}
