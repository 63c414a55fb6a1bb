//! The parameters of one step, on the host, as every executor reads them.

/// Parameters of a step, in f32 (folding happened in f64 before). Weights are OIHW.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum StepParams {
    /// The operation has none.
    #[default]
    None,
    /// Of [`Op::Conv`](super::Op::Conv).
    Conv {
        /// `[out, in / groups, k, k]`.
        weight: Vec<f32>,
        /// `[out]`, or empty when the epilogue adds none.
        bias: Vec<f32>,
    },
    /// Of [`Op::JoinedConv`](super::Op::JoinedConv).
    JoinedConv {
        /// The main branch's `[out, in]`.
        main: Vec<f32>,
        /// The shortcut's `[out, in]`.
        shortcut: Vec<f32>,
        /// `[out]`: the sum of both folded biases.
        bias: Vec<f32>,
    },
    /// Of [`Op::BatchNorm`](super::Op::BatchNorm): `x * scale + shift`.
    Affine {
        /// `[channels]`.
        scale: Vec<f32>,
        /// `[channels]`.
        shift: Vec<f32>,
    },
}
