//! The tensors of layers, norms and parameters in a training plan.

use crate::plan::TensorId;

/// A norm's tensors in a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedNorm {
    /// Its name: `bn1`, `layer1.0.downsample.1`.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Variable: gamma and beta.
    pub affine: TensorId,
    /// Variable: the running mean and variance, and the weight of the next batch in them.
    pub running: TensorId,
    /// The running statistics after the batch; `None` for a frozen norm.
    pub running_after: Option<TensorId>,
    /// The gradients of gamma and beta, as first and second number of each channel; `None` if the
    /// backward pass does not reach this norm.
    pub sums: Option<TensorId>,
}

/// The tensors of a convolution and of the norm after it, in a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLayer {
    /// Its name: `conv1`, `layer1.0.downsample.0`.
    pub name: String,
    /// Variable: its weights.
    pub weight: TensorId,
    /// Their gradient; `None` for frozen weights.
    pub weight_grad: Option<TensorId>,
    /// The norm; `None` for [`Norm::Identity`](crate::network::Norm::Identity).
    pub norm: Option<PlannedNorm>,
}

/// The linear layer's tensors in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedLinear {
    /// Variable: its weights, `[classes, features, 1, 1]`.
    pub weight: TensorId,
    /// Variable: its bias, `[1, classes, 1, 1]`.
    pub bias: TensorId,
}

/// A parameter's tensors in a plan: the weights of a convolution or of the linear layer, its bias,
/// or a norm's gamma and beta.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedParameter {
    /// Its key; for gamma and beta, the common prefix of their keys.
    pub name: String,
    /// Variable: its value.
    pub value: TensorId,
    /// Variable: the optimiser state, in the order of
    /// [`Optimizer::state_names`](super::Optimizer::state_names).
    pub state: Vec<TensorId>,
    /// Variable: the accumulated gradients of previous batches, if several batches make one step.
    pub sum: Option<TensorId>,
}
