//! Errors of the specifications of blocks and networks.

/// An impossible specification of a block or a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A parameter that must be at least one is zero.
    #[error("{parameter} must be at least 1, found 0")]
    Zero {
        /// The parameter, under its PyTorch name.
        parameter: &'static str,
    },
    /// `int(planes * base_width / 64) * groups` is zero.
    #[error("width = int({planes} * {base_width} / 64) * {groups} = 0: base_width is too small")]
    ZeroWidth {
        /// The block's planes.
        planes: usize,
        /// The block's base width.
        base_width: usize,
        /// The block's groups.
        groups: usize,
    },
    /// A number of channels is not a multiple of the groups.
    #[error("{what}: {channels} channels cannot be divided into {groups} groups")]
    GroupsDoNotDivide {
        /// Which channels.
        what: &'static str,
        /// The number of channels.
        channels: usize,
        /// The requested groups.
        groups: usize,
    },
    /// A parameter exceeds the range of 32-bit GPU arithmetic.
    #[error("{parameter} = {value} is too large (at most {limit})")]
    TooLarge {
        /// The parameter, under its PyTorch name.
        parameter: &'static str,
        /// Its value.
        value: usize,
        /// The largest value accepted.
        limit: usize,
    },
    /// The shortcut needs a downsample and none was given.
    #[error(
        "a downsample is required: stride {stride}, inplanes {inplanes}, outplanes {outplanes} \
        (without one the shortcut would only fit by broadcasting, or not at all)"
    )]
    DownsampleRequired {
        /// The block's stride.
        stride: usize,
        /// The block's input channels.
        inplanes: usize,
        /// The block's output channels.
        outplanes: usize,
    },
    /// A BasicBlock was given a parameter that torchvision's BasicBlock does not support either.
    #[error("a BasicBlock has {parameter} {only} only, found {value}")]
    BasicBlock {
        /// The parameter, under its PyTorch name.
        parameter: &'static str,
        /// Its value.
        value: usize,
        /// The only supported value.
        only: usize,
    },
    /// A list of network parameters does not have the length that the network needs.
    #[error("{parameter} must have {expected} entries, found {found}")]
    Entries {
        /// The parameter, under its PyTorch name.
        parameter: &'static str,
        /// The required length: the number of stages, of stages after the first, or of blocks in
        /// the last stage.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// No network has this name.
    #[error("no network is named {name}; the networks are {}", known.join(", "))]
    UnknownNetwork {
        /// The name as given.
        name: String,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// The network has no feature map with this name.
    #[error("no feature map is named {name}; the feature maps are {}", known.join(", "))]
    UnknownMap {
        /// The name as given.
        name: String,
        /// The names of its feature maps.
        known: Vec<String>,
    },
    /// A block of a network is invalid.
    #[error("{block}: {source}")]
    InBlock {
        /// The block, as the state dict names it: `layer4.1`.
        block: String,
        /// What is wrong with it.
        source: Box<SpecError>,
    },
    /// The norm layer is not supported by this crate.
    #[error("norm_layer {name} is not supported: use BatchNorm2d, FrozenBatchNorm2d or Identity")]
    UnsupportedNorm {
        /// The name as given.
        name: String,
    },
    /// `track_running_stats=False`: batch statistics even in eval mode.
    #[error(
        "{norm}: no running_mean and running_var, so track_running_stats=False: PyTorch normalises \
        with batch statistics in eval mode too, which is not supported"
    )]
    BatchStatistics {
        /// The norm layer.
        norm: String,
    },
    /// eps is negative, NaN or infinite.
    #[error("eps must be finite and not negative, found {eps}")]
    Eps {
        /// The value given.
        eps: f64,
    },
    /// Two consecutive blocks of a chain do not match.
    #[error(
        "block {block}: inplanes {found} does not match the {expected} channels that the block \
        before it writes"
    )]
    Chain {
        /// The index of the block in the chain.
        block: usize,
        /// Channels written by the previous block.
        expected: usize,
        /// Its inplanes.
        found: usize,
    },
    /// A chain without blocks.
    #[error("a chain needs at least one block")]
    EmptyChain,
    /// An invalid parameter of an optimiser or of a training run.
    #[error("{parameter} must be {expected}, found {value}")]
    Optimizer {
        /// The parameter, under its PyTorch name.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// The valid values.
        expected: &'static str,
    },
    /// A part to be frozen does not exist in the network.
    #[error(
        "the network has no part {name} (parts are called conv1, bn1, layer1, layer1.0, \
        layer1.0.conv1, ..., fc)"
    )]
    NoSuchPart {
        /// The name as given.
        name: String,
    },
    /// The whole network is frozen.
    #[error("the whole network is frozen: there is nothing to train")]
    NothingToTrain,
    /// A network without classes has no loss.
    #[error("the network has no classes (no fc), so there is no loss to train with")]
    NoClasses,
    /// A given parameter contradicts the checkpoint's shapes.
    #[error("{parameter} = {given} contradicts the shape of {tensor}, which requires {found}")]
    Contradicts {
        /// The parameter, under its PyTorch name.
        parameter: &'static str,
        /// The value given.
        given: usize,
        /// The tensor that contradicts it.
        tensor: String,
        /// The value that follows from its shape.
        found: String,
    },
}
