//! Layers of a block or a stem: convolutions, each with the norm after it, and the step parameters
//! made from them.

use super::fold;
use super::layer::Layer;
use super::reader::Reader;
use crate::error::{Result, WeightsError};
use crate::network::LayerSpec;
use crate::op::{Op, StepParams};
use crate::plan::Role;

/// The names of the convolutions whose layers a step's parameters are made from.
pub(super) fn needed(role: Role, op: &Op) -> &'static [&'static str] {
    match (role, op) {
        (Role::Conv1 | Role::Bn1 | Role::Stem | Role::StemBn, _) => &["conv1"],
        (Role::Conv2 | Role::Bn2, _) => &["conv2"],
        (_, Op::JoinedConv { .. }) => &["conv3", "downsample.0"],
        (Role::Conv3 | Role::Bn3, _) => &["conv3"],
        (Role::Downsample | Role::DownsampleBn, _) => &["downsample.0"],
        _ => &[],
    }
}

/// Layers by the name of their convolution.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layers(Vec<(&'static str, Layer)>);

impl Layers {
    /// Reads the layers of a specification.
    pub fn read(reader: &Reader<'_>, specs: &[LayerSpec]) -> Result<Self> {
        let norms: Vec<&str> = specs.iter().map(|spec| spec.norm_name).collect();
        reader.check_norm_keys(&norms)?;
        let affine = reader.has_affine(&norms);
        let layer = |spec: &LayerSpec| {
            let layer = reader.layer(spec.conv, spec.conv_name, spec.norm_name, affine)?;
            Ok((spec.conv_name, layer))
        };
        Ok(Self(specs.iter().map(layer).collect::<Result<_, WeightsError>>()?))
    }

    fn find(&self, conv_name: &str) -> Option<&Layer> {
        self.0.iter().find(|(name, _)| *name == conv_name).map(|(_, layer)| layer)
    }

    /// The parameters of a step; [`StepParams::None`] if it has none.
    pub fn step_params(&self, role: Role, op: &Op) -> Result<StepParams, WeightsError> {
        let Some(conv_name) = needed(role, op).first() else { return Ok(StepParams::None) };
        let Some(layer) = self.find(conv_name) else { return Ok(StepParams::None) };
        match (op, self.find("downsample.0")) {
            (Op::Conv { epilogue, .. }, _) if !epilogue.bias => {
                Ok(StepParams::Conv { weight: layer.weight.get()?.into_owned(), bias: Vec::new() })
            }
            (Op::Conv { .. }, _) => Ok(StepParams::Conv {
                weight: layer.folded()?,
                bias: fold::round(&layer.norm.shift, &layer.norm_key)?,
            }),
            (Op::JoinedConv { .. }, Some(shortcut)) => {
                let both: Vec<f64> =
                    layer.norm.shift.iter().zip(&shortcut.norm.shift).map(|(a, b)| a + b).collect();
                let bias = fold::round(&both, &layer.norm_key)?;
                Ok(StepParams::JoinedConv {
                    main: layer.folded()?,
                    shortcut: shortcut.folded()?,
                    bias,
                })
            }
            (Op::BatchNorm { .. }, _) => {
                let (scale, shift) = layer.norm.rounded(&layer.norm_key)?;
                Ok(StepParams::Affine { scale, shift })
            }
            (_, _) => Ok(StepParams::None),
        }
    }
}
