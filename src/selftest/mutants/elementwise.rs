//! Mutants of the norm and of the residual addition.

use super::shared::of_every_value;
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_value!(BatchNormRelu, "batchnorm_relu"),
    of_both!(BatchNormRelu, "batchnorm_relu"),
    NORM,
    of_every_value!(ResidualAdd, "residual_add"),
    of_both!(ResidualAdd, "residual_add"),
    ADD,
];

/// Faults of lines that both files have; the file's name is the family's.
macro_rules! of_both {
    ($family:ident, $file:literal) => {
        mutants! { $family, $file:
            "lost_relu" ReluOrder { $file: "dst[at] = relu(value);" => "dst[at] = value;" }
            "nan_swallowed" NanSwallowed {
                "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
                    => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
            }
            "stored_one_too_far" OffByOne { $file: "dst[at] = relu" => "dst[at + 1u] = relu" }
        }
    };
}

use of_both;

const NORM: &[Mutant] = mutants! { BatchNormRelu, "batchnorm_relu":
    "lost_scale" LostBias { "batchnorm_relu": "src[at] * scale_shift[channel] +" => "src[at] +" }
    "lost_shift" LostBias { "batchnorm_relu": " + scale_shift[params.shift_at + channel]" => "" }
    "shift_of_the_first_channel" OffByOne { "batchnorm_relu": "params.shift_at + channel" => "params.shift_at" }
    "scale_as_shift" SwappedStride { "batchnorm_relu": "params.shift_at + channel" => "channel" }
    "pixel_as_channel" SwappedStride { "batchnorm_relu": "at % params.vec4_per_pixel" => "at / params.vec4_per_pixel" }
    "next_value" OffByOne { "batchnorm_relu": "src[at] *" => "src[at + 1u] *" }
    "relu_before_shift" ReluOrder {
        "batchnorm_relu": "dst[at] = relu(value);"
            => "dst[at] = relu(src[at] * scale_shift[channel]) + scale_shift[params.shift_at + channel];"
    }
};

const ADD: &[Mutant] = mutants! { ResidualAdd, "residual_add":
    "lost_shortcut" WrongResidual { "residual_add": "src[at] + shortcut[at]" => "src[at]" }
    "shortcut_twice" WrongResidual { "residual_add": "src[at] + shortcut[at]" => "shortcut[at] + shortcut[at]" }
    "shortcut_of_next_value" WrongResidual { "residual_add": "shortcut[at]" => "shortcut[at + 1u]" }
    "next_value" OffByOne { "residual_add": "src[at] +" => "src[at + 1u] +" }
    "subtracted" WrongResidual { "residual_add": "src[at] + shortcut[at]" => "src[at] - shortcut[at]" }
    "relu_before_add" ReluOrder { "residual_add": "relu(value)" => "relu(src[at]) + shortcut[at]" }
};
