//! A Bottleneck from a state dict: its specification from options and shapes, its tensors, and the
//! parameters of each step of a plan.

use super::layers::Layers;
use super::reader::Reader;
use super::{BlockOptions, StateDict};
use crate::error::{Result, WeightsError};
use crate::network::{BlockSpec, Bottleneck};
use crate::op::StepParams;
use crate::plan::{Plan, Step};

/// A Bottleneck with its weights, on the host. The convolutions' weights stay in the state dict's
/// file until they are folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    spec: Bottleneck,
    layers: Layers,
}

impl Block {
    /// The block whose keys begin with `prefix` (empty, or e.g. `layer2.0.`; the last dot is
    /// optional). Planes come from `conv3.weight`, inplanes from `conv1.weight`, groups and width
    /// from `conv2.weight`. The block has a downsample if its keys exist. A BatchNorm is assumed
    /// to have no affine parameters if no norm of the block has `weight` or `bias`.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor or the file, or a
    /// [`SpecError`](crate::error::SpecError) that names the parameter.
    pub fn from_state_dict(dict: &StateDict, prefix: &str, options: &BlockOptions) -> Result<Self> {
        let reader = Reader::new(dict, prefix, options.norm);
        let spec = reader.spec(options)?;
        reader.check_no_other_parts()?;
        let layers = Layers::read(&reader, &BlockSpec::Bottleneck(spec).layers())?;
        Ok(Self { spec, layers })
    }

    /// Its specification.
    #[must_use]
    pub fn spec(&self) -> &Bottleneck {
        &self.spec
    }

    /// The parameters of every step of a plan of these blocks, in order.
    ///
    /// # Errors
    /// [`WeightsError::FoldOverflow`]; [`WeightsError::Changed`]; [`WeightsError::Missing`] if the
    /// plan has more blocks.
    pub fn params(blocks: &[Self], plan: &Plan) -> Result<Vec<StepParams>, WeightsError> {
        let of_step = |step: &Step| {
            let missing = || WeightsError::Missing {
                tensor: step.to_string(),
                hint: " (too few blocks)".to_owned(),
            };
            blocks.get(step.block).ok_or_else(missing)?.layers.step_params(step.role, &step.op)
        };
        plan.steps.iter().map(of_step).collect()
    }
}
