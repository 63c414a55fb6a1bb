//! Errors of the specifications of blocks and networks.

/// An impossible specification of a block or a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A parameter that must be at least one is zero.
    #[error("{parameter} must be at least 1, found 0")]
    Zero {
        /// The parameter, in PyTorch's words.
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
    /// A number of channels is no multiple of the groups.
    #[error("{what}: {channels} channels cannot be divided into {groups} groups")]
    GroupsDoNotDivide {
        /// Which channels.
        what: &'static str,
        /// How many.
        channels: usize,
        /// The groups asked for.
        groups: usize,
    },
    /// A parameter is beyond what 32-bit GPU arithmetic holds.
    #[error("{parameter} = {value} is too large (at most {limit})")]
    TooLarge {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
        /// Its value.
        value: usize,
        /// The largest value accepted.
        limit: usize,
    },
    /// The shortcut needs a downsample and none was given.
    #[error(
        "a downsample is required: stride {stride}, inplanes {inplanes}, outplanes {outplanes} (without one the shortcut \
         would only fit by broadcasting, or not at all)"
    )]
    DownsampleRequired {
        /// The block's stride.
        stride: usize,
        /// The block's input channels.
        inplanes: usize,
        /// The block's output channels.
        outplanes: usize,
    },
    /// A BasicBlock is asked for something that torchvision's does not have either.
    #[error("a BasicBlock has {parameter} {only} only, found {value}")]
    BasicBlock {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
        /// Its value.
        value: usize,
        /// The one value that it may have.
        only: usize,
    },
    /// A list of a network's parameters has another length than the network needs.
    #[error("{parameter} must have {expected} entries, found {found}")]
    Entries {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
        /// How many are needed: as many as stages, as stages behind the first, or as blocks of the last stage.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// No network has this name.
    #[error("there is no network {name}; there are {}", known.join(", "))]
    UnknownNetwork {
        /// The name as given.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// A block of a network cannot be.
    #[error("{block}: {source}")]
    InBlock {
        /// The block, as the state dict names it: `layer4.1`.
        block: String,
        /// What is wrong with it.
        source: Box<SpecError>,
    },
    /// The norm layer is none of those this crate knows.
    #[error("norm_layer {name} is not supported: use BatchNorm2d, FrozenBatchNorm2d or Identity")]
    UnsupportedNorm {
        /// The name as given.
        name: String,
    },
    /// `track_running_stats=False`: batch statistics even in eval mode.
    #[error(
        "{norm}: no running_mean and running_var, so track_running_stats=False: PyTorch normalises by the \
        batch in eval mode too, which is not supported"
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
    /// Two blocks of a chain do not fit together.
    #[error("block {block}: inplanes {found} does not match the {expected} channels that the block before it writes")]
    Chain {
        /// The index of the block in the chain.
        block: usize,
        /// Channels written by the block before.
        expected: usize,
        /// Its inplanes.
        found: usize,
    },
    /// A chain of no blocks.
    #[error("a chain needs at least one block")]
    EmptyChain,
    /// A number of an optimiser or of a training run that cannot be.
    #[error("{parameter} must be {expected}, found {value}")]
    Optimizer {
        /// The number, in PyTorch's words.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// A part of a network that is to be frozen, and that the network does not have.
    #[error("the network has no part {name} (parts are called conv1, bn1, layer1, layer1.0, layer1.0.conv1, ..., fc)")]
    NoSuchPart {
        /// The name as given.
        name: String,
    },
    /// All of a network is frozen.
    #[error("all of the network is frozen: there is nothing to train")]
    NothingToTrain,
    /// A network without classes has no loss.
    #[error("the network has no classes (no fc), so that there is no loss to train it by")]
    NoClasses,
    /// Two given parameters contradict what the checkpoint's shapes say.
    #[error("{parameter} = {given} contradicts {tensor}: its shape says {found}")]
    Contradicts {
        /// The parameter, in PyTorch's words.
        parameter: &'static str,
        /// The value given.
        given: usize,
        /// The tensor that contradicts it.
        tensor: String,
        /// What its shape says.
        found: String,
    },
}
