//! The plans of training: of a block, forward as one segment and the gradients as another, and of a network with its loss and its optimiser.
//!
//! ```text
//! forward   conv1 | stats, norm + relu | conv2 | stats, norm + relu | conv3 | stats, norm | [downsample] | add + relu
//! backward  relu | bn3: sums, norm | conv3: weights, image | bn2: ... | conv2: ... | bn1: ... | conv1: weights, image + shortcut's
//! ```
//!
//! Weights, and what norms have, are tensors that the caller gives. Gradients of weights lie as the weights do. An image's gradient behind a
//! convolution of stride 1 is a convolution by mirrored weights, for which all forward kernels are candidates.
//!
//! A network's plan has a segment for the stem, one for each block and one for the head with the loss, then one back through each block and one
//! through the stem. What the optimiser makes of a parameter is carried over it at the end of the segment that its gradient belongs to, so
//! that a step is one run and nothing leaves the device but the losses.

mod block;
mod layer;
mod network;
mod optimizer;

pub use block::{BlockTraining, plan_block_training};
pub use layer::{TrainedLayer, TrainedNorm};
pub use network::{NetworkTraining, TrainedLinear, TrainingSetup, plan_network_training};
pub use optimizer::{Optimizer, TrainedParameter};
