//! A block's tensors for training: nothing is folded.

use super::StateDict;
use super::block::BlockOptions;
use super::reader::Reader;
use crate::error::{Result, WeightsError};
use crate::network::{BlockSpec, Bottleneck, LayerSpec};

/// A norm's tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct NormTensors {
    /// Its keys' prefix in the state dict, without the last dot.
    pub key: String,
    /// Ones if the norm has no gamma.
    pub gamma: Vec<f32>,
    /// Zeros if the norm has no beta.
    pub beta: Vec<f32>,
    /// Whether gamma and beta are parameters.
    pub affine: bool,
    /// The running mean.
    pub running_mean: Vec<f32>,
    /// The running variance.
    pub running_var: Vec<f32>,
    /// Batches seen so far, if the norm counts them.
    pub num_batches_tracked: Option<i64>,
}

/// A convolution's weights and the norm after it.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTensors {
    /// The key of the weights.
    pub key: String,
    /// Weights in OIHW order.
    pub weight: Vec<f32>,
    /// The norm; `None` for an identity.
    pub norm: Option<NormTensors>,
}

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
