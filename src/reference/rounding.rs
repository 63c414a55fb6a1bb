//! Rounding to half precision, as on a device.

use std::borrow::Cow;

use half::f16;

use crate::op::StepParams;
use crate::tensor::DType;

/// The values that the reference rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Nothing.
    None,
    /// Weights and tensors that are in half precision on the device.
    AsPlanned,
}

impl Rounding {
    /// Parameters of a step that computes in this precision: weights are rounded; biases and norms
    /// are f32 on the device too.
    pub fn of_params(self, params: Cow<'_, StepParams>, dtype: DType) -> Cow<'_, StepParams> {
        if self == Self::None || dtype != DType::F16 {
            return params;
        }
        let rounded =
            |weight: &[f32]| weight.iter().map(|&value| f16::from_f32(value).to_f32()).collect();
        match &*params {
            StepParams::Conv { weight, bias } => {
                Cow::Owned(StepParams::Conv { weight: rounded(weight), bias: bias.clone() })
            }
            StepParams::JoinedConv { main, shortcut, bias } => Cow::Owned(StepParams::JoinedConv {
                main: rounded(main),
                shortcut: rounded(shortcut),
                bias: bias.clone(),
            }),
            StepParams::Affine { .. } | StepParams::None => params,
        }
    }

    /// The output of a step; NaN for values that are too large, as in the kernels.
    pub fn of_values(self, values: &mut [f64], dtype: DType) {
        if self == Self::None || dtype != DType::F16 {
            return;
        }
        for value in values {
            let too_large = value.is_finite() && value.abs() >= DType::F16.overflow();
            *value = if too_large { f64::NAN } else { f16::from_f64(*value).to_f64() };
        }
    }
}
