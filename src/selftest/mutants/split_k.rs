//! Mutants of the sum of slices of K. The mutants of the slices themselves belong to the families
//! whose K is split (`of_every_split`).

use super::shared::of_every_value;
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[of_every_value!(SplitKSum, "split_k_sum"), SUM];

const SUM: &[Mutant] = mutants! { SplitKSum, "split_k_sum":
    "slice_left_out" OffByOne { "split_k_sum": "    sum += src" => "    sum = src" }
    "slice_twice_for_the_last" OffByOne {
        "split_k_sum": "${s}u * params.plane" => "min(${s}u, ${K_SLICES}u - 2u) * params.plane"
    }
    "first_slice_for_every_one" StaleTile { "split_k_sum": "at + ${s}u * params.plane" => "at" }
    "planes_overlap" OffByOne { "split_k_sum": "u * params.plane" => "u * (params.plane - 1u)" }
    "planes_by_output" SwappedStride {
        "split_k_sum": "u * params.plane"
            => "u * params.vec4_per_pixel"
    }
    "lost_bias" LostBias { "split_k_sum": "sum += bias[at % params.vec4_per_pixel];" => "" }
    "bias_of_the_first_column" LostBias {
        "split_k_sum": "bias[at % params.vec4_per_pixel]"
            => "bias[0u]"
    }
    "bias_by_value" SwappedStride {
        "split_k_sum": "bias[at % params.vec4_per_pixel]"
            => "bias[min(at, params.vec4_per_pixel - 1u)]"
    }
    "bias_once_a_slice" LostBias {
        "split_k_sum": "    sum += src"
            => "//#if BIAS\n    sum += bias[at % params.vec4_per_pixel];\n//#end\n    sum += src"
    }
    "lost_residual" WrongResidual { "split_k_sum": "sum += unpack(residual[at]);" => "" }
    "residual_of_next_column" WrongResidual {
        "split_k_sum": "residual[at]" => "residual[min(at + 1u, params.vec4s - 1u)]"
    }
    "lost_relu" ReluOrder { "split_k_sum": "relu(sum)" => "sum" }
    "relu_before_residual" ReluOrder {
        "split_k_sum": "    sum += unpack(residual[at]);"
            => "//#if RELU\n    sum = relu(sum);\n//#end\n    sum += unpack(residual[at]);"
    }
    "relu_of_every_slice" ReluOrder {
        "split_k_sum": "sum += src[at + ${s}u * params.plane];"
            => "sum += src[at + ${s}u * params.plane];\n//#if RELU\n    sum = relu(sum);\n//#end"
    }
    "nan_swallowed" NanSwallowed {
        "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
            => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
    }
};
