//! Errors of training.

/// Why a training run cannot start or continue.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// The class of an image is outside the network's classes.
    #[error(
        "image {image} has class {class}, but the network has {classes} classes, numbered from 0"
    )]
    Class {
        /// Index of the image in the batch, from 0.
        image: usize,
        /// Its class.
        class: usize,
        /// The network's classes.
        classes: usize,
    },
    /// An invalid learning rate.
    #[error("a learning rate must be finite and not negative, found {rate}")]
    Rate {
        /// The rate given.
        rate: f64,
    },
    /// `bn_momentum` is `None` (the mean over all batches), which only `BlockTrainer` supports.
    #[error(
        "bn_momentum = None (the mean over all batches) works for BlockTrainer only; set a \
        number for Trainer, such as PyTorch's Some(0.1)"
    )]
    NoMomentum,
    /// A loss is NaN or infinite.
    #[error(
        "step {step}: the loss of image {image} is {loss}; {}",
        layer.as_ref().map_or_else(
            || "the layer that caused it is not known".to_owned(),
            |layer| format!("the first non-finite output is that of {layer}")
        )
    )]
    NotFinite {
        /// The step, from 1.
        step: u64,
        /// The first such image of the batch, from 0.
        image: usize,
        /// Its loss.
        loss: f32,
        /// The first layer with a non-finite output.
        layer: Option<String>,
    },
    /// A saved optimiser state lacks a tensor.
    #[error(
        "the optimiser state has no {tensor}: it belongs to another optimiser or another network"
    )]
    OptimizerState {
        /// The tensor's name.
        tensor: String,
    },
}
