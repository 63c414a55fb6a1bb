//! Reads a weights file that holds a block or a whole network.

use wgpu_bottleneck::{Block, NetworkWeights, StateDict};

use super::block_args::BlockSettingsArgs;
use super::error::CliError;
use super::source_args::SourceArgs;

/// The contents of a weights file.
#[derive(Debug, Clone)]
pub enum BlockOrNetwork {
    /// One Bottleneck.
    Block(Box<Block>),
    /// A whole network.
    Network(Box<NetworkWeights>),
}

impl From<Block> for BlockOrNetwork {
    fn from(block: Block) -> Self {
        Self::Block(Box::new(block))
    }
}

impl From<NetworkWeights> for BlockOrNetwork {
    fn from(network: NetworkWeights) -> Self {
        Self::Network(Box::new(network))
    }
}

/// The kind of contents that the keys and shapes of a file indicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    Block,
    Network,
    Neither,
}

impl Looks {
    /// A block begins with a 1x1 convolution under a known key. A network has a 7x7 convolution,
    /// whose key depends on the library that wrote the file.
    fn of(dict: &StateDict, prefix: &str) -> Self {
        let side = |key: &str| match dict.dims(key) {
            Some(&[_, _, height, width]) if height == width => height,
            _ => 0,
        };
        let mut keys = dict.keys().filter(|key| key.starts_with(prefix));
        match side(&format!("{prefix}conv1.weight")) {
            1 => Self::Block,
            _ if keys.any(|key| side(key) == 7) => Self::Network,
            _ => Self::Neither,
        }
    }
}

/// Opens the file and reads the block or the network in it. An option of the other kind is an
/// error.
pub fn open(source: &SourceArgs, settings: &BlockSettingsArgs) -> Result<BlockOrNetwork, CliError> {
    let file = source.file()?;
    let dict = StateDict::open_key(&file, source.key.as_deref())?;
    let prefix = match source.prefix.as_deref().unwrap_or_default() {
        prefix if prefix.is_empty() || prefix.ends_with('.') => prefix.to_owned(),
        prefix => format!("{prefix}."),
    };
    let block =
        || settings.block(&file, &dict, &prefix, &source.variant.norm).map(BlockOrNetwork::from);
    let network = || source.network_of(&file, dict.clone()).map(BlockOrNetwork::from);
    let name = file.display();
    match (Looks::of(&dict, &prefix), source.first_of_network(), settings.first_given()) {
        (Looks::Block, Some(option), _) => Err(CliError::Usage(format!(
            "{option} is a setting of a network, but {name} holds a block"
        ))),
        (Looks::Network, _, Some(option)) => Err(CliError::Usage(format!(
            "{option} is a setting of a block, but {name} holds a network; --prefix selects one \
            block of it, e.g. --prefix layer1.0."
        ))),
        (Looks::Block, ..) => block(),
        (Looks::Network, ..) => network(),
        (Looks::Neither, ..) => block().or_else(|block| {
            let neither = |network| CliError::Neither {
                path: file.clone(),
                block: reason(block),
                network: reason(network),
            };
            network().map_err(neither)
        }),
    }
}

/// The error without the file's name.
fn reason(error: CliError) -> String {
    match error {
        CliError::InFile { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::seeded;
    use wgpu_bottleneck::{Bottleneck, Error};

    #[test]
    fn a_block_is_told_by_its_first_convolution() -> Result<(), Error> {
        let spec = Bottleneck::torchvision(8, 4).stride(2).downsample(true).build()?;
        let dict = StateDict::from_bytes(seeded::file(&spec, 1)?)?;
        assert_eq!(
            [Looks::of(&dict, ""), Looks::of(&dict, "layer1.0.")],
            [Looks::Block, Looks::Neither]
        );
        Ok(())
    }
}
