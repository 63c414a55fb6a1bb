//! Errors of training.

/// What a training run cannot go on with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// A picture's class is none of the network's.
    #[error("picture {picture} is of class {class}, but the network tells apart {classes} classes, from 0")]
    Class {
        /// Which picture of the batch, from 0.
        picture: usize,
        /// Its class.
        class: usize,
        /// The network's classes.
        classes: usize,
    },
    /// A learning rate that cannot be.
    #[error("a learning rate must be finite and not negative, found {rate}")]
    Rate {
        /// The rate given.
        rate: f64,
    },
    /// A loss is no number, or infinite.
    #[error(
        "step {step}: the loss of picture {picture} is {loss}; {}",
        layer.as_ref().map_or_else(|| "where that began is not known".to_owned(), |layer| format!("it began in {layer}"))
    )]
    NotFinite {
        /// The step, from 1.
        step: u64,
        /// The first such picture of the batch, from 0.
        picture: usize,
        /// Its loss.
        loss: f32,
        /// The first layer that put out something that is not finite.
        layer: Option<String>,
    },
    /// What an optimiser kept lacks a tensor.
    #[error("the optimiser's state has no {tensor}: it was another optimiser's, or another network's")]
    OptimizerState {
        /// The tensor's name.
        tensor: String,
    },
}
