//! A whole network out of a state dict with torchvision's keys: its tensors, and the parameters of each step of a plan.

use super::StateDict;
use super::layers::Layers;
use super::reader::Reader;
use crate::error::{Result, WeightsError};
use crate::network::{LayerSpec, ResNet, Stem};
use crate::op::{Conv, StepParams};
use crate::plan::{Plan, Role, Step};

/// A network with its weights, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkWeights {
    spec: ResNet,
    stem: Layers,
    blocks: Vec<Layers>,
    fc: Option<Linear>,
}

/// The fully connected layer.
#[derive(Debug, Clone, PartialEq)]
struct Linear {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl NetworkWeights {
    /// The tensors of a network of this specification. Keys that it does not have are ignored.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor.
    pub fn from_state_dict(dict: &StateDict, spec: &ResNet) -> Result<Self> {
        let Stem { in_channels, planes } = spec.stem();
        let conv = Conv::conv7x7(in_channels, planes, Stem::STRIDE);
        let stem = LayerSpec { conv_name: "conv1", norm_name: "bn1", conv };
        let stem = Layers::read(&Reader::new(dict, "", spec.norm()), &[stem])?;
        let block = |(name, block): (String, &crate::network::BlockSpec)| {
            Layers::read(&Reader::new(dict, &name, block.norm()), &block.layers())
        };
        let blocks = spec.blocks().map(block).collect::<Result<_>>()?;
        let fc = spec.classes().map(|classes| -> Result<Linear, WeightsError> {
            let weight = dict.weight("fc.weight", &[classes, spec.features()])?;
            Ok(Linear { weight, bias: dict.weight("fc.bias", &[classes])? })
        });
        Ok(Self { spec: spec.clone(), stem, blocks, fc: fc.transpose()? })
    }

    /// Its specification.
    #[must_use]
    pub fn spec(&self) -> &ResNet {
        &self.spec
    }

    /// The parameters of every step of a plan of this network, in order.
    ///
    /// # Errors
    /// [`WeightsError::FoldOverflow`]; [`WeightsError::Missing`] when the plan is another network's.
    pub fn params(&self, plan: &Plan) -> Result<Vec<StepParams>, WeightsError> {
        plan.steps.iter().map(|step| self.step_params(step)).collect()
    }

    fn step_params(&self, step: &Step) -> Result<StepParams, WeightsError> {
        let missing =
            || WeightsError::Missing { tensor: step.to_string(), hint: " (another network's plan)".to_owned() };
        match (step.role, &self.fc) {
            (Role::Stem | Role::StemBn, _) => self.stem.step_params(step.role, &step.op),
            (Role::MaxPool | Role::AvgPool, _) => Ok(StepParams::None),
            (Role::Fc, Some(Linear { weight, bias })) => {
                Ok(StepParams::Conv { weight: weight.clone(), bias: bias.clone() })
            }
            (Role::Fc, None) => Err(missing()),
            // The stem is block 0.
            _ => {
                let block = step.block.checked_sub(1).and_then(|index| self.blocks.get(index));
                block.ok_or_else(missing)?.step_params(step.role, &step.op)
            }
        }
    }
}
