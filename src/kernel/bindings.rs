//! The resources that a kernel binds, in the order of its bindings.

use super::{Access, Family, Kernel};

/// The resource of a kernel's binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The uniform `Params`.
    Params,
    /// The step's input with this index.
    Input(usize),
    /// The step's packed parameters.
    Weights,
    /// The bias from these parameters, if it has a separate binding: see [`Kernel::bias_offset`].
    Bias,
    /// The step's output.
    Output,
    /// The step's input with this index, as a uniform: for a small number of values.
    UniformInput(usize),
    /// The step's input with this index, copied into a texture before the launch: see
    /// [`Kernel::copied_texture`].
    CopiedInput(usize),
    /// The step's scratch with this index, copied into a texture before the launch.
    CopiedScratch(usize),
    /// The step's scratch with this index, which holds the data between its dispatches: see
    /// [`Kernel::scratch_bytes`].
    Scratch(usize),
}

impl Kernel {
    /// The resources of the kernel's bindings 0, 1, 2, ...
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table: one arm per family")]
    pub fn bindings(&self) -> Vec<Binding> {
        use Binding::{
            Bias, CopiedInput, CopiedScratch, Input, Output, Params, Scratch, UniformInput, Weights,
        };
        let written = self.written();
        match self.family {
            Family::ResidualAdd => vec![Params, Input(0), Input(1), Output],
            Family::MaxPool | Family::GlobalAvgPool | Family::Convert => {
                vec![Params, Input(0), Output]
            }
            Family::BatchNormRelu => vec![Params, Input(0), Weights, Output],
            Family::NormPartials => vec![Params, Input(0), written],
            Family::NormStats => vec![Params, Scratch(0), Input(1), Output],
            Family::NormGradPartials => vec![Params, Input(0), Input(1), Input(2), written],
            Family::NormGradSums => vec![Params, Scratch(0), Input(2), Output],
            Family::NormGrad => vec![Params, Input(0), Input(1), Input(2), Output],
            Family::NormApply => {
                let mut bindings = vec![Params, Input(0), Input(1), Output];
                bindings.extend(self.epilogue.residual.then_some(Input(2)));
                bindings
            }
            Family::NormFrozen
            | Family::RunningStats
            | Family::ReluGrad
            | Family::WeightGrad
            | Family::MaxPoolGrad
            | Family::AddBias
            | Family::CrossEntropy
            | Family::CrossEntropyGrad
            | Family::Gate => vec![Params, Input(0), Input(1), written],
            Family::WeightGradSubgroup => {
                let gradient =
                    if self.access == Access::Texture { CopiedInput(1) } else { Input(1) };
                vec![Params, Input(0), gradient, written]
            }
            Family::MirroredWeights | Family::AvgPoolGrad | Family::BiasGrad => {
                vec![Params, Input(0), Output]
            }
            Family::Accumulate | Family::Moment | Family::SquareMoment => {
                vec![Params, Input(0), Input(1), UniformInput(2), Output]
            }
            Family::Velocity | Family::AdamW => {
                vec![Params, Input(0), Input(1), Input(2), UniformInput(3), Output]
            }
            Family::Descend => vec![Params, Input(0), Input(2), UniformInput(3), Output],
            Family::DescendNesterov => {
                vec![Params, Input(0), Input(2), UniformInput(3), Output, Input(1)]
            }
            Family::InputGrad => vec![Params, Input(0), Weights, Output],
            Family::WeightGradSum => vec![Params, Scratch(0), Output],
            Family::WinogradWeights => vec![Params, Weights, written],
            Family::WinogradInput => vec![Params, Input(0), written],
            Family::Conv3x3Winograd | Family::Conv3x3WinogradSubgroup => {
                let weights = match (self.transforms_weights_each_run, self.access) {
                    (false, _) => Weights,
                    (true, Access::Texture) => CopiedScratch(2),
                    (true, Access::Vectors) => Scratch(2),
                };
                vec![Params, Scratch(0), weights, written]
            }
            Family::WinogradOutput | Family::SplitKSum => {
                let sums = Scratch(if self.family == Family::SplitKSum { 0 } else { 1 });
                let mut bindings = vec![Params, sums, Output];
                bindings.extend(self.epilogue.bias.then_some(Weights));
                bindings.extend(self.epilogue.residual.then_some(Input(1)));
                bindings
            }
            Family::Conv1x1Joined
            | Family::Conv1x1JoinedStaged
            | Family::Conv1x1JoinedSubgroup
            | Family::Conv1x1JoinedMatrix => {
                let mut bindings = vec![Params, Input(0), Weights, written, Input(1)];
                bindings.extend(self.has_own_bias().then_some(Bias));
                bindings
            }
            _ => {
                let mut bindings = vec![Params, Input(0), Weights, written];
                bindings.extend(self.own_epilogue().residual.then_some(Input(1)));
                bindings.extend(self.has_own_bias().then_some(Bias));
                bindings
            }
        }
    }

    /// The only binding that the kernel writes.
    #[must_use]
    pub const fn written(&self) -> Binding {
        match self.family {
            _ if self.is_split() => Binding::Scratch(0),
            Family::WinogradInput
            | Family::NormPartials
            | Family::NormGradPartials
            | Family::WeightGrad
            | Family::WeightGradSubgroup => Binding::Scratch(0),
            Family::Conv3x3Winograd | Family::Conv3x3WinogradSubgroup => Binding::Scratch(1),
            Family::WinogradWeights => Binding::Scratch(2),
            _ => Binding::Output,
        }
    }

    /// The input or scratch that is copied into a texture before the launch.
    #[must_use]
    pub fn copied(&self) -> Option<Binding> {
        let is_copied = |binding: &Binding| {
            matches!(binding, Binding::CopiedInput(_) | Binding::CopiedScratch(_))
        };
        self.bindings().into_iter().find(is_copied)
    }
}
