//! The weights that training starts from.

use std::path::{Path, PathBuf};

use wgpu_bottleneck::network::ResNetBuilder;
use wgpu_bottleneck::weights::{ClassNames, Initialization, NetworkState, weights_file};
use wgpu_bottleneck::{CheckpointOptions, ModelConfig, NetworkWeights, ResNet, StateDict};

use super::super::error::CliError;
use super::super::output;

/// The weights that training starts from.
#[derive(Debug)]
pub struct Init {
    /// The weights file.
    pub file: PathBuf,
    /// Its network and configuration.
    pub weights: NetworkWeights,
}

impl Init {
    /// Opens a weights file, or the one in a folder. Settings that shapes do not show come from the
    /// options, then from the configuration.
    pub fn open(
        path: &Path,
        options: &CheckpointOptions,
        key: Option<&str>,
    ) -> Result<Self, CliError> {
        let file = weights_file(path)?;
        let dict = StateDict::open_key(&file, key)?;
        let config = ModelConfig::of(&file, &dict)?;
        let weights =
            NetworkWeights::detect_with(dict, options, config).map_err(CliError::in_file(&file))?;
        match weights.spec().stem().in_channels {
            1 | 3 => Ok(Self { file, weights }),
            channels => {
                let file = file.display();
                let what = format!(
                    "the network has {channels} input channels, but images have 3, or 1 if grey"
                );
                Err(CliError::Usage(format!("{file}: {what}")))
            }
        }
    }
}

/// The initial parameters from a file. A linear layer for another number of classes is
/// initialised randomly.
pub fn initial(
    Init { file, weights }: &Init,
    spec: &ResNet,
    classes: &[String],
    seed: u64,
) -> Result<NetworkState, CliError> {
    let mut state =
        NetworkState::try_initial(spec, Initialization { seed, zero_init_residual: false })?;
    let found = NetworkState::read(weights).map_err(CliError::in_file(file))?;
    let same_classes = found.spec().classes() == spec.classes();
    if let Some(ClassNames { names, source }) = weights.config().class_names()
        && same_classes
        && names != classes
    {
        let shown = |names: &[String]| {
            let first: Vec<_> = names.iter().take(4).map(|name| output::shown(name)).collect();
            format!("{}{}", first.join(", "), if names.len() > first.len() { ", ..." } else { "" })
        };
        let (theirs, ours) = (shown(names), shown(classes));
        let line = format!(
            "warning: the classes in {source} are {theirs}, but those of --data are {ours}"
        );
        output::progress(&format!("{line}: the rows of the linear layer are kept in their order"));
    }
    let about = |network: &ResNet| {
        let stages: Vec<_> = network.stages().to_vec();
        (network.stem(), network.kind(), stages)
    };
    if about(found.spec()) != about(spec) {
        let (file, there) = (file.display(), found.spec());
        return Err(CliError::Usage(format!("{file}: the weights of {there}, not of {spec}")));
    }
    for (key, dims) in spec.state_dict_shapes() {
        if key.ends_with("num_batches_tracked") || key.starts_with("fc.") && !same_classes {
            continue;
        }
        let values = found
            .values(&key)
            .map_err(wgpu_bottleneck::Error::from)
            .map_err(CliError::in_file(file))?;
        if values.len() != dims.iter().product::<usize>() {
            let (file, there) = (file.display(), found.spec());
            return Err(CliError::Usage(format!(
                "{file}: {key} has {} values: the file holds {there}",
                values.len()
            )));
        }
        state.set(&key, values.to_vec()).map_err(wgpu_bottleneck::Error::from)?;
    }
    Ok(state)
}

/// A builder for networks of the same shape.
pub fn like(network: &ResNet) -> ResNetBuilder {
    ResNet::builder(network.kind())
        .depths(network.depths().to_vec())
        .planes(network.planes().to_vec())
        .groups(network.groups())
        .width_per_group(network.width_per_group())
        .stem(network.stem().kind)
        .stem_planes(network.stem().planes)
        .in_channels(network.stem().in_channels)
}
