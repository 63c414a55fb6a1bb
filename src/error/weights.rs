//! Errors of state dicts.

use super::{Differences, PthError};

/// A state dict that does not hold what the block needs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file is not safetensors, or damaged.
    #[error("{source_name}: not a readable safetensors file: {reason}")]
    Format {
        /// The file's name, or "safetensors" for bytes.
        source_name: String,
        /// What the parser says.
        reason: String,
    },
    /// The file is PyTorch's own and cannot be read, or is damaged.
    #[error("{source_name}: not a readable PyTorch file: {error}")]
    Pth {
        /// The file's name.
        source_name: String,
        /// Why; boxed, as an error is handed up by value.
        error: Box<PthError>,
    },
    /// A file was changed while it was open: its weights are lost, or mixed.
    #[error("{source_name}: changed while it was open: {how}; open it again")]
    Changed {
        /// The file's name.
        source_name: String,
        /// What is different.
        how: String,
    },
    /// A key of a PyTorch file holds something other than a tensor.
    #[error("{tensor} is not a tensor but {found}")]
    NotATensor {
        /// The full key.
        tensor: String,
        /// What it is: a kind of value, or the class of an object that is not read.
        found: String,
    },
    /// A tensor is missing.
    #[error("tensor {tensor} is missing{hint}")]
    Missing {
        /// The full key.
        tensor: String,
        /// Empty, or what its absence may mean.
        hint: String,
    },
    /// A tensor has the wrong shape.
    #[error("tensor {tensor}: expected shape {expected}, found {found:?}")]
    Shape {
        /// The full key.
        tensor: String,
        /// The shape that is needed, in words.
        expected: String,
        /// The shape as found.
        found: Vec<usize>,
    },
    /// A tensor has an element type that is not read.
    #[error("tensor {tensor}: element type {found} is not supported, expected F32, F16 or BF16")]
    ElementType {
        /// The full key.
        tensor: String,
        /// Its element type.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {tensor}: value {value} at index {index}: weights must be finite")]
    NonFinite {
        /// The full key.
        tensor: String,
        /// Its flat index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A running variance is negative, or zero together with eps.
    #[error(
        "tensor {tensor}: variance {value} at index {index} with eps {eps}: the sum must be positive and the variance not negative"
    )]
    Variance {
        /// The full key.
        tensor: String,
        /// The channel.
        index: usize,
        /// The variance.
        value: f32,
        /// The eps it is used with.
        eps: f64,
    },
    /// Folding a norm into its convolution leaves the range of f32.
    #[error("tensor {tensor}: folding its norm gives {value:e} at index {index}, beyond the range of f32")]
    FoldOverflow {
        /// The convolution's key.
        tensor: String,
        /// Flat index of the folded value.
        index: usize,
        /// The folded value.
        value: f64,
    },
    /// A shortcut that is known but not supported.
    #[error("tensor {tensor}: {what} is not supported; a downsample is one strided 1x1 convolution and its norm")]
    Shortcut {
        /// The key that gives it away.
        tensor: String,
        /// What kind of shortcut it is.
        what: &'static str,
    },
    /// A part that other networks have and a ResNet does not.
    #[error("tensor {tensor}: {what} is not supported")]
    ForeignPart {
        /// The full key.
        tensor: String,
        /// What kind of part it belongs to.
        what: &'static str,
    },
    /// The checkpoint is not one of this network.
    #[error("the checkpoint does not fit {network}: {differences}")]
    Network {
        /// The network: the one asked for, or the one that its shapes come nearest to.
        network: String,
        /// Where the two differ.
        differences: Box<Differences>,
    },
    /// A folder without a file of weights, or with several and none with a usual name.
    #[error(
        "{folder}: {count} files of weights{}, expected model.safetensors, pytorch_model.bin or one file; name the file",
        listed(found)
    )]
    Folder {
        /// The folder.
        folder: String,
        /// The number of files of weights in it.
        count: usize,
        /// The first of their names.
        found: Vec<String>,
    },
    /// The settings in a configuration do not fit the weights.
    #[error("{reason}: the settings in {config} do not fit the weights")]
    Configured {
        /// The file name, or `the metadata of FILE`.
        config: String,
        /// What is wrong.
        reason: String,
    },
    /// A configuration describes another network than the weights.
    #[error(
        "{config}: {key} is {found}, but the weights belong to {network}: use the matching configuration (--config), or move the weights to another folder"
    )]
    OtherNetwork {
        /// The file name, or `the metadata of FILE`.
        config: String,
        /// The value's key.
        key: String,
        /// The value, as JSON.
        found: String,
        /// The network found in the weights.
        network: String,
    },
    /// A configuration is not JSON.
    #[error("{config}: not a readable configuration: {reason}")]
    ConfigFormat {
        /// The file's name.
        config: String,
        /// What the parser says.
        reason: String,
    },
    /// A configuration has an invalid value, or describes a network that computes something else
    /// with the same weights.
    #[error("{config}: {key} is {found}, expected {expected}")]
    Config {
        /// The file's name.
        config: String,
        /// The value's key.
        key: String,
        /// The value, as JSON.
        found: String,
        /// What is supported.
        expected: &'static str,
    },
    /// A tensor that belongs to the block is there although the specification has no place for it.
    #[error("tensor {tensor} is present but {why}")]
    Unexpected {
        /// The full key.
        tensor: String,
        /// Why it has no place.
        why: &'static str,
    },
}

/// Names in parentheses, if there are any.
fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}
