//! A whole network out of a state dict: where each of its tensors lies, and the parameters of each step of a plan.

use std::path::Path;

use super::layers::{self, Layers};
use super::reader::Reader;
use super::{Checkpoint, CheckpointOptions, StateDict};
use crate::error::{Result, WeightsError};
use crate::network::{LayerSpec, ResNet, Stem};
use crate::op::{Conv, StepParams};
use crate::plan::{Plan, Role, Step};

/// A network and the file that its weights lie in.
///
/// The weights stay there: each step's are read, folded and rounded when they are asked for, so that a network needs no second
/// copy of them on the host. That is also when their values are checked; keys and shapes are checked before.
#[derive(Debug, Clone)]
pub struct NetworkWeights {
    dict: StateDict,
    checkpoint: Checkpoint,
}

impl NetworkWeights {
    /// The network that a file's keys and shapes say it is of.
    ///
    /// # Errors
    /// As [`StateDict::open`] and [`Checkpoint::detect`].
    pub fn open(path: impl AsRef<Path>, options: &CheckpointOptions) -> Result<Self> {
        Self::detect(StateDict::open(path)?, options)
    }

    /// The network that a state dict's keys and shapes say it is of.
    ///
    /// # Errors
    /// As [`Checkpoint::detect`].
    pub fn detect(dict: StateDict, options: &CheckpointOptions) -> Result<Self> {
        let checkpoint = Checkpoint::detect(&dict, options)?;
        Ok(Self { dict, checkpoint })
    }

    /// The weights of a network that one knows. A prefix of `None` is what common wrappers have put before all keys, if anything.
    ///
    /// # Errors
    /// As [`Checkpoint::matching`].
    pub fn matching(dict: StateDict, network: &ResNet, prefix: Option<&str>) -> Result<Self> {
        let checkpoint = Checkpoint::matching(&dict, network, prefix)?;
        Ok(Self { dict, checkpoint })
    }

    /// The network.
    #[must_use]
    pub fn spec(&self) -> &ResNet {
        self.checkpoint.network()
    }

    /// The file.
    pub(super) fn dict(&self) -> &StateDict {
        &self.dict
    }

    /// Which network it is, and where it keeps each tensor.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The parameters of every step of a plan of this network, in order: a copy of all of them.
    ///
    /// # Errors
    /// As [`NetworkWeights::step_params`].
    pub fn params(&self, plan: &Plan) -> Result<Vec<StepParams>> {
        plan.steps.iter().map(|step| self.step_params(step)).collect()
    }

    /// The parameters of one step of a plan of this network.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor: [`WeightsError::NonFinite`], [`WeightsError::Variance`],
    /// [`WeightsError::FoldOverflow`], an element type that is not read; [`WeightsError::Missing`] when the plan is another
    /// network's.
    pub fn step_params(&self, step: &Step) -> Result<StepParams> {
        let params = self.read_params(step);
        // The next step has other tensors: only those of one lie in memory at a time.
        self.dict.let_go();
        params
    }

    fn read_params(&self, step: &Step) -> Result<StepParams> {
        let spec = self.spec();
        match step.role {
            Role::MaxPool | Role::AvgPool | Role::Convert => Ok(StepParams::None),
            Role::Stem | Role::StemBn => {
                let Stem { in_channels, planes, .. } = spec.stem();
                let conv = Conv::conv7x7(in_channels, planes, Stem::STRIDE);
                let stem = LayerSpec { conv_name: "conv1", norm_name: "bn1", conv };
                self.layer_params("", &[stem], step)
            }
            Role::Fc => {
                let classes = spec.classes().ok_or_else(|| other_network(step))?;
                let tensor = |name: &str, dims: &[usize]| self.dict.weight(self.key(name), dims);
                let weight = tensor("fc.weight", &[classes, spec.features()])?;
                Ok(StepParams::Conv { weight, bias: tensor("fc.bias", &[classes])? })
            }
            _ => {
                // The stem is block 0.
                let block = step.block.checked_sub(1).and_then(|index| spec.blocks().nth(index));
                let (name, block) = block.ok_or_else(|| other_network(step))?;
                self.layer_params(&name, &block.layers(), step)
            }
        }
    }

    fn layer_params(&self, prefix: &str, specs: &[LayerSpec], step: &Step) -> Result<StepParams> {
        let reader = Reader::of_checkpoint(&self.dict, &self.checkpoint, prefix);
        let needed = layers::needed(step.role, &step.op);
        let specs: Vec<LayerSpec> = specs.iter().filter(|spec| needed.contains(&spec.conv_name)).copied().collect();
        Ok(Layers::read(&reader, &specs)?.step_params(step.role, &step.op)?)
    }

    fn key<'a>(&'a self, name: &'a str) -> &'a str {
        self.checkpoint.key(name).unwrap_or(name)
    }
}

fn other_network(step: &Step) -> WeightsError {
    WeightsError::Missing { tensor: step.to_string(), hint: " (another network's plan)".to_owned() }
}
