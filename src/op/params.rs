//! The parameters of one step on the host, as all executors read them.

use super::Op;

/// Parameters of a step, in f32 (folded in f64 before). Weights are OIHW.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum StepParams {
    /// An operation without parameters.
    #[default]
    None,
    /// For [`Op::Conv`](super::Op::Conv).
    Conv {
        /// `[out, in / groups, k, k]`.
        weight: Vec<f32>,
        /// `[out]`, or empty if the epilogue adds no bias.
        bias: Vec<f32>,
    },
    /// For [`Op::JoinedConv`](super::Op::JoinedConv).
    JoinedConv {
        /// The main branch's `[out, in]`.
        main: Vec<f32>,
        /// The shortcut's `[out, in]`.
        shortcut: Vec<f32>,
        /// `[out]`: the sum of both folded biases.
        bias: Vec<f32>,
    },
    /// For [`Op::BatchNorm`](super::Op::BatchNorm): `x * scale + shift`.
    Affine {
        /// `[channels]`.
        scale: Vec<f32>,
        /// `[channels]`.
        shift: Vec<f32>,
    },
}

impl StepParams {
    /// Whether these are parameters of this operation, with the right lengths.
    #[must_use]
    pub fn fit(&self, op: &Op) -> bool {
        match (op, self) {
            (Op::Conv { conv, epilogue }, Self::Conv { weight, bias }) => {
                weight.len() == conv.weights()
                    && bias.len() == if epilogue.bias { conv.out_channels } else { 0 }
            }
            (
                Op::JoinedConv { main, shortcut, .. },
                Self::JoinedConv { main: w3, shortcut: wds, bias },
            ) => {
                w3.len() == main.weights()
                    && wds.len() == shortcut.weights()
                    && bias.len() == main.out_channels
            }
            (Op::BatchNorm { channels, .. }, Self::Affine { scale, shift }) => {
                scale.len() == *channels && shift.len() == *channels
            }
            (
                Op::Add { .. }
                | Op::MaxPool { .. }
                | Op::GlobalAvgPool { .. }
                | Op::Convert { .. }
                | Op::Train(_),
                Self::None,
            ) => true,
            _ => false,
        }
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Conv { weight, bias } => weight.len() + bias.len(),
            Self::JoinedConv { main, shortcut, bias } => main.len() + shortcut.len() + bias.len(),
            Self::Affine { scale, shift } => scale.len() + shift.len(),
        }
    }
}
