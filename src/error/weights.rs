//! Errors of state dicts.

use super::{Differences, PthError};

/// A state dict that does not fit the block.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file is not safetensors, or damaged.
    #[error("{source_name}: not a readable safetensors file: {reason}")]
    Format {
        /// The file's name, or "safetensors" for bytes.
        source_name: String,
        /// The parser's message.
        reason: String,
    },
    /// A file that is no checkpoint.
    #[error("{source_name}: not a checkpoint but {what}")]
    NotACheckpoint {
        /// The file's name, or "safetensors data" for bytes.
        source_name: String,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// A file in PyTorch's own format cannot be read, or is damaged.
    #[error("{source_name}: not a readable PyTorch file: {error}")]
    Pth {
        /// The file's name.
        source_name: String,
        /// The cause; boxed, as errors are returned by value.
        error: Box<PthError>,
    },
    /// A file was changed while it was open, so that its weights are missing or inconsistent.
    #[error("{source_name}: changed while it was open: {how}; open it again")]
    Changed {
        /// The file's name.
        source_name: String,
        /// What changed.
        how: String,
    },
    /// A key of a PyTorch file holds a value that is not a tensor.
    #[error("{tensor} is not a tensor but {found}")]
    NotATensor {
        /// The full key.
        tensor: String,
        /// The value found: its kind, or the class of an unsupported object.
        found: String,
    },
    /// A tensor is missing.
    #[error("tensor {tensor} is missing{hint}")]
    Missing {
        /// The full key.
        tensor: String,
        /// Empty, or a possible reason for its absence.
        hint: String,
    },
    /// A tensor has the wrong shape.
    #[error("tensor {tensor}: expected shape {expected}, found {found:?}")]
    Shape {
        /// The full key.
        tensor: String,
        /// The required shape, in words.
        expected: String,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor has an unsupported element type.
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
        "tensor {tensor}: variance {value} at index {index} with eps {eps}: the sum must be \
        positive and the variance not negative"
    )]
    Variance {
        /// The full key.
        tensor: String,
        /// The channel.
        index: usize,
        /// The variance.
        value: f32,
        /// The eps used with it.
        eps: f64,
    },
    /// Folding a norm into its convolution exceeds the range of f32.
    #[error(
        "tensor {tensor}: folding its norm gives {value:e} at index {index}, beyond the range of \
        f32"
    )]
    FoldOverflow {
        /// The convolution's key.
        tensor: String,
        /// Flat index of the folded value.
        index: usize,
        /// The folded value.
        value: f64,
    },
    /// A known but unsupported shortcut.
    #[error(
        "tensor {tensor}: {what} is not supported; a downsample is one strided 1x1 convolution and \
        its norm"
    )]
    Shortcut {
        /// The key that identifies it.
        tensor: String,
        /// What kind of shortcut it is.
        what: &'static str,
    },
    /// A part that other networks have, but a ResNet does not.
    #[error("tensor {tensor}: {what} is not supported")]
    ForeignPart {
        /// The full key.
        tensor: String,
        /// The kind of part that it belongs to.
        what: &'static str,
    },
    /// A checkpoint without a ResNet.
    #[error("no ResNet in this checkpoint: {hint}")]
    NoNetwork {
        /// What the keys show instead.
        hint: String,
    },
    /// A checkpoint with several networks.
    #[error(
        "{} networks in this checkpoint; select one: {}", selectors.len(), selectors.join(" or ")
    )]
    SeveralNetworks {
        /// The option that selects each.
        selectors: Vec<String>,
    },
    /// A backbone whose head dilates it, without the option for that.
    #[error(
        "{module} belongs to a head of torchvision's segmentation models, which dilate the \
        backbone: add --replace-stride-with-dilation false,true,true (or \
        false,false,false for a backbone without dilation)"
    )]
    Dilated {
        /// The head's module.
        module: String,
    },
    /// The checkpoint does not fit this network.
    #[error("the checkpoint does not fit {network}: {differences}")]
    Network {
        /// The network: the requested one, or the one with the closest shapes.
        network: String,
        /// The differences.
        differences: Box<Differences>,
    },
    /// A folder has no weights file, or it has several, and none of them has a usual name.
    #[error(
        "{folder}: {count} files of weights{}, expected model.safetensors, pytorch_model.bin or \
        one file; name the file",
        listed(found)
    )]
    Folder {
        /// The folder.
        folder: String,
        /// The number of weights files in it.
        count: usize,
        /// The first of their names.
        found: Vec<String>,
    },
    /// A folder with a checkpoint in several files.
    #[error(
        "{folder}: the checkpoint is in several shards ({found}), which are not supported; save \
        it as one file"
    )]
    Shards {
        /// The folder.
        folder: String,
        /// The file that shows it.
        found: String,
    },
    /// The settings in a configuration do not fit the weights.
    #[error("{reason}: the settings in {config} do not fit the weights")]
    Configured {
        /// The file name, or `the metadata of FILE`.
        config: String,
        /// What is wrong.
        reason: String,
    },
    /// A configuration describes a different network from that of the weights.
    #[error(
        "{config}: {key} is {found}, but the weights belong to {network}: use the matching \
        configuration (--config), or move the weights to another folder"
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
        /// The parser's message.
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
        /// The supported values.
        expected: &'static str,
    },
    /// A tensor is present that a block with this specification does not have.
    #[error("tensor {tensor} is present but {why}")]
    Unexpected {
        /// The full key.
        tensor: String,
        /// Why it is unexpected.
        why: &'static str,
    },
}

/// Names in parentheses, if there are any.
fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}
