//! Training plans: of a block, with the forward pass as one segment and the gradients as another,
//! and of a network with its loss and its optimiser.
//!
//! ```text
//! forward   conv1 | stats, norm + relu | conv2 | stats, norm + relu | conv3 | stats, norm |
//!           [downsample] | add + relu
//! backward  relu | bn3: sums, norm | conv3: weights, image | bn2: ... | conv2: ... | bn1: ... |
//!           conv1: weights, image + shortcut's
//! ```
//!
//! Weights and norm parameters are tensors that the caller provides. Gradients of weights have the
//! layout of the weights. The image gradient of a convolution with stride 1 is a convolution with
//! mirrored weights, for which all forward kernels are candidates.
//!
//! A network's plan has a segment for the stem, one for each block and one for the head with the
//! loss, then one for the backward pass of each block and one for that of the stem. The updated
//! value of a parameter replaces the old one at the end of the segment that computes its gradient.
//! Therefore a step is one run, and only the losses are read back from the device.

mod block;
mod layer;
mod network;
mod optimizer;
mod planned_tensors;
mod planner;
mod update_steps;

pub use block::{BlockTrainingPlan, plan_block_training};
pub use network::{NetworkTrainingPlan, TrainingOptions, plan_network_training};
pub use optimizer::Optimizer;
pub use planned_tensors::{PlannedLayer, PlannedLinear, PlannedNorm, PlannedParameter};
