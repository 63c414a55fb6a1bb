//! A block's tensors for training: nothing is folded.

use super::layer::LayerTensors;
use super::reader::Reader;
use super::{BlockOptions, StateDict};
use crate::error::{Result, WeightsError};
use crate::network::{BlockSpec, Bottleneck, LayerSpec};

/// A Bottleneck's specification and its tensors: conv1, conv2, conv3, and downsample if there is
/// one.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockState {
    /// The specification.
    pub spec: Bottleneck,
    /// The layers.
    pub layers: Vec<LayerTensors>,
}

impl BlockState {
    /// Reads a block, as [`Block::from_state_dict`](super::Block::from_state_dict) does.
    ///
    /// # Errors
    /// As [`Block::from_state_dict`](super::Block::from_state_dict).
    pub fn from_state_dict(dict: &StateDict, prefix: &str, options: &BlockOptions) -> Result<Self> {
        let reader = Reader::new(dict, prefix, options.norm);
        let spec = reader.spec(options)?;
        reader.check_no_other_parts()?;
        let specs = BlockSpec::Bottleneck(spec).layers();
        let norms: Vec<&str> = specs.iter().map(|spec| spec.norm_name).collect();
        reader.check_norm_keys(&norms)?;
        let affine = reader.has_affine(&norms);
        let layer = |spec: &LayerSpec| {
            reader.layer_tensors(spec.conv, spec.conv_name, spec.norm_name, affine)
        };
        Ok(Self { spec, layers: specs.iter().map(layer).collect::<Result<_, WeightsError>>()? })
    }
}
