//! Mutants of the norm, of the residual addition and of conversions.

use super::shared::of_every_value;
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_value!(BatchNormRelu, "batchnorm_relu"),
    of_both!(BatchNormRelu, "batchnorm_relu"),
    NORM,
    of_every_value!(ResidualAdd, "residual_add"),
    of_both!(ResidualAdd, "residual_add"),
    ADD,
    of_every_value!(Convert, "convert"),
    CONVERT,
];

/// Faults in lines that both files have; the file's name is the family's name.
macro_rules! of_both {
    ($family:ident, $file:literal) => {
        mutants! { $family, $file:
            "lost_relu" ReluOrder { $file: "dst[at] = pack(relu(value));"
                => "dst[at] = pack(value);" }
            "nan_swallowed" NanSwallowed {
                "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
                    => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
            }
            "stored_one_too_far" OffByOne { $file: "dst[at] = pack(relu"
                => "dst[at + 1u] = pack(relu" }
        }
    };
}

use of_both;

const NORM: &[Mutant] = mutants! { BatchNormRelu, "batchnorm_relu":
    "lost_scale" LostBias {
        "batchnorm_relu": "unpack(src[at]) * scale_shift[channel] +"
            => "unpack(src[at]) +"
    }
    "lost_shift" LostBias { "batchnorm_relu": " + scale_shift[params.shift_at + channel]" => "" }
    "shift_of_the_first_channel" OffByOne {
        "batchnorm_relu": "params.shift_at + channel"
            => "params.shift_at"
    }
    "scale_as_shift" SwappedStride { "batchnorm_relu": "params.shift_at + channel" => "channel" }
    "pixel_as_channel" SwappedStride {
        "batchnorm_relu": "at % params.vec4_per_pixel"
            => "at / params.vec4_per_pixel"
    }
    "next_value" OffByOne { "batchnorm_relu": "unpack(src[at]) *" => "unpack(src[at + 1u]) *" }
    "relu_before_shift" ReluOrder {
        "batchnorm_relu": "dst[at] = pack(relu(value));"
            => "dst[at] = pack(relu(unpack(src[at]) * scale_shift[channel]) \
                + scale_shift[params.shift_at + channel]);"
    }
};

const ADD: &[Mutant] = mutants! { ResidualAdd, "residual_add":
    "lost_shortcut" WrongResidual {
        "residual_add": "unpack(src[at]) + unpack(shortcut[at])"
            => "unpack(src[at])"
    }
    "shortcut_twice" WrongResidual {
        "residual_add": "unpack(src[at]) +"
            => "unpack(shortcut[at]) +"
    }
    "shortcut_of_next_value" WrongResidual { "residual_add": "shortcut[at]" => "shortcut[at + 1u]" }
    "next_value" OffByOne { "residual_add": "unpack(src[at]) +" => "unpack(src[at + 1u]) +" }
    "subtracted" WrongResidual {
        "residual_add": "unpack(src[at]) + unpack"
            => "unpack(src[at]) - unpack"
    }
    "relu_before_add" ReluOrder {
        "residual_add": "relu(value)"
            => "relu(unpack(src[at])) + unpack(shortcut[at])"
    }
};

const CONVERT: &[Mutant] = mutants! { Convert, "convert":
    "next_value" OffByOne { "convert": "src[at]" => "src[at + 1u]" }
    "first_value" StaleTile { "convert": "src[at]" => "src[0]" }
    "stored_one_too_far" OffByOne { "convert": "dst[at]" => "dst[at + 1u]" }
    "nan_swallowed" NanSwallowed {
        "shared/narrow": "bitcast<vec4<f32>>(select(bits, vec4<u32>(0x7fc00000u), too_large))"
            => "select(max(value, vec4<f32>(-60000.0)), vec4<f32>(65504.0), too_large)"
    }
    "overflow_to_infinity" NanSwallowed {
        "shared/narrow": ", too_large)"
            => ", vec4<bool>(false))"
    }
    "overflow_to_the_largest" NanSwallowed {
        "shared/narrow": "vec4<u32>(0x7fc00000u)" => "vec4<u32>(0x477fe000u)"
    }
    "infinity_to_nan" NanSwallowed {
        "shared/narrow": "0x7f800000u - 0x477ff000u"
            => "0x7f800001u - 0x477ff000u"
    }
    "negative_overflow" MissingTail { "shared/narrow": "bits & vec4<u32>(0x7fffffffu)" => "bits" }
};
