//! One Bottleneck out of a state dict: its specification from options and shapes, its tensors, and the parameters of each
//! step of a plan.

use super::StateDict;
use super::fold::{self, Affine};
use super::reader::Reader;
use crate::error::{Result, WeightsError};
use crate::network::{Bottleneck, Norm};
use crate::op::{Conv, Op, StepParams};
use crate::plan::{Plan, Role, Step};

/// What a state dict does not say of its block. `None` means: take it from the shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockOptions {
    /// Stride of the 3x3 convolution and the downsample.
    pub stride: usize,
    /// Dilation and padding of the 3x3 convolution.
    pub dilation: usize,
    /// Groups of the 3x3 convolution; must agree with `conv2.weight`.
    pub groups: Option<usize>,
    /// Base width; must give the width that `conv2.weight` has.
    pub base_width: Option<usize>,
    /// The norm layer.
    pub norm: Norm,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self { stride: 1, dilation: 1, groups: None, base_width: None, norm: Norm::default() }
    }
}

/// A convolution's weights and the norm behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    pub(super) conv_key: String,
    pub(super) norm_key: String,
    pub(super) weight: Vec<f32>,
    pub(super) norm: Affine,
}

/// A Bottleneck with its weights, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    spec: Bottleneck,
    conv1: Layer,
    conv2: Layer,
    conv3: Layer,
    downsample: Option<Layer>,
}

impl Block {
    /// The block whose keys begin with `prefix` (empty, or e.g. `layer2.0.`; the last dot may be left out). Planes come from
    /// `conv3.weight`, inplanes from `conv1.weight`, groups and width from `conv2.weight`; a downsample is there if its keys
    /// are. A BatchNorm without affine parameters is one where no norm of the block has `weight` or `bias`.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor, or a [`SpecError`](crate::error::SpecError) that names the parameter.
    pub fn from_state_dict(dict: &StateDict, prefix: &str, options: &BlockOptions) -> Result<Self> {
        let reader = Reader::new(dict, prefix, options.norm);
        let spec = reader.spec(options)?;
        reader.check_no_other_parts()?;
        reader.check_norm_keys(&spec)?;
        let affine = reader.has_affine(&spec)?;
        let layer = |conv: Conv, conv_key: &str, norm_key: &str| reader.layer(conv, conv_key, norm_key, affine);
        let downsample = spec.downsample_conv().map(|conv| layer(conv, "downsample.0", "downsample.1")).transpose()?;
        Ok(Self {
            spec,
            conv1: layer(spec.conv1(), "conv1", "bn1")?,
            conv2: layer(spec.conv2(), "conv2", "bn2")?,
            conv3: layer(spec.conv3(), "conv3", "bn3")?,
            downsample,
        })
    }

    /// Its specification.
    #[must_use]
    pub fn spec(&self) -> &Bottleneck {
        &self.spec
    }

    /// The parameters of every step of a plan of these blocks, in order.
    ///
    /// # Errors
    /// [`WeightsError::FoldOverflow`]; [`WeightsError::Missing`] when the plan is of more blocks.
    pub fn params(blocks: &[Self], plan: &Plan) -> Result<Vec<StepParams>, WeightsError> {
        let of_step = |step: &Step| {
            let missing = || WeightsError::Missing { tensor: step.to_string(), hint: " (too few blocks)".to_owned() };
            blocks.get(step.block).ok_or_else(missing)?.step_params(step.role, &step.op)
        };
        plan.steps.iter().map(of_step).collect()
    }

    fn step_params(&self, role: Role, op: &Op) -> Result<StepParams, WeightsError> {
        let layer = match role {
            Role::Conv1 | Role::Bn1 => &self.conv1,
            Role::Conv2 | Role::Bn2 => &self.conv2,
            Role::Conv3 | Role::Bn3 => &self.conv3,
            Role::Downsample | Role::DownsampleBn => match &self.downsample {
                Some(layer) => layer,
                None => return Ok(StepParams::None),
            },
            _ => return Ok(StepParams::None),
        };
        match (op, &self.downsample) {
            (Op::Conv { epilogue, .. }, _) if !epilogue.bias => {
                Ok(StepParams::Conv { weight: layer.weight.clone(), bias: Vec::new() })
            }
            (Op::Conv { .. }, _) => {
                Ok(StepParams::Conv { weight: layer.folded()?, bias: fold::round(&layer.norm.shift, &layer.norm_key)? })
            }
            (Op::JoinedConv { .. }, Some(shortcut)) => {
                let both: Vec<f64> = layer.norm.shift.iter().zip(&shortcut.norm.shift).map(|(a, b)| a + b).collect();
                let bias = fold::round(&both, &layer.norm_key)?;
                Ok(StepParams::JoinedConv { main: layer.folded()?, shortcut: shortcut.folded()?, bias })
            }
            (Op::BatchNorm { .. }, _) => {
                let (scale, shift) = layer.norm.rounded(&layer.norm_key)?;
                Ok(StepParams::Affine { scale, shift })
            }
            (_, _) => Ok(StepParams::None),
        }
    }
}

impl Layer {
    fn folded(&self) -> Result<Vec<f32>, WeightsError> {
        fold::fold(&self.weight, &self.norm, &self.conv_key)
    }
}
