//! Mutants of BatchNorm2d in training.

use super::shared::{of_every_channel, of_every_second_dimension};
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_channel!(NormStats, "norm_stats", "train/norm_stats"),
    STATS,
    of_every_slice!(NormPartials, "norm_partials"),
    PARTIALS,
    of_every_channel!(NormFrozen, "norm_frozen", "train/norm_frozen"),
    of_every_second_dimension!(NormFrozen, "norm_frozen", "train/norm_frozen"),
    FROZEN,
    of_every_row!(NormApply, "norm_apply"),
    APPLY,
    of_every_channel!(RunningStats, "running_stats", "train/running_stats"),
    of_every_second_dimension!(RunningStats, "running_stats", "train/running_stats"),
    RUNNING,
    of_every_channel!(NormGradSums, "norm_grad_sums", "train/norm_grad_sums"),
    SUMS,
    of_every_slice!(NormGradPartials, "norm_grad_partials"),
    GRAD_PARTIALS,
    of_every_row!(NormGrad, "norm_grad"),
    GRAD,
];

/// Faults of kernels that loop over a part of the pixels.
macro_rules! of_every_slice {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "slice_goes_on" MissingTail {
                "shared/norm_slice": "min(first + params.chunk, params.pixels)"
                    => "first + params.chunk"
            }
            "pixel_left_out" OffByOne {
                "shared/norm_slice": "min(first + params.chunk, params.pixels)"
                    => "min(first + params.chunk, params.pixels) - 1u"
            }
            "last_slice_left_out" OffByOne {
                "shared/norm_slice": "slice >= params.slices" => "slice + 1u >= params.slices"
            }
            "slices_behind_the_last" MissingTail {
                "shared/norm_slice": " || slice >= params.slices"
                    => ""
            }
            "every_column_is_the_first" StaleTile {
                "shared/norm_slice": "min(first_column + ${c*LANES}u, line - 1u)"
                    => "min(first_column, line - 1u)"
            }
            "third_grid_dimension" WrongGroup {
                "shared/norm_slice": "(group.z * params.row_groups + group.y)" => "group.y"
            }
            "workgroups_overlap" OffByOne {
                "shared/norm_slice": "group.x * ${LANES*COLS}u" => "group.x * (${LANES*COLS}u - 1u)"
            }
        }
    };
}

use of_every_slice;

/// Faults of kernels that process consecutive pixels.
macro_rules! of_every_row {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "second_grid_dimension" WrongGroup {
                "shared/norm_rows": "(group.y * params.row_groups + group.x)" => "group.x"
            }
            "grid_transposed" SwappedStride {
                "shared/norm_rows": "group.y * params.row_groups + group.x"
                    => "group.x * params.row_groups + group.y"
            }
            "workgroups_overlap" OffByOne {
                "shared/norm_rows": "${LANES}u + local.x"
                    => "(${LANES}u - 1u) + local.x"
            }
            "last_pixels_left_out" MissingTail {
                "shared/norm_rows": "first >= params.pixels" => "first + ${ROWS}u > params.pixels"
            }
            "last_pixel_left_out" OffByOne {
                "shared/norm_rows": "first >= params.pixels" => "first + 1u >= params.pixels"
            }
            "first_channels_only" StaleTile { "shared/norm_rows": "item % line" => "0u" }
            "rows_overlap" SwappedStride {
                "shared/norm_rows": "item / line * ${ROWS}u"
                    => "item / line"
            }
            "pixels_behind_the_end" MissingTail {
                "shared/norm_rows": "min(first + ${r}u, params.pixels - 1u)" => "(first + ${r}u)"
            }
        }
    };
}

use of_every_row;

const STATS: &[Mutant] = mutants! { NormStats, "norm_stats":
    "lost_eps" LostBias { "train/norm_stats": "variance + bitcast<f32>(params.eps)" => "variance" }
    "unbiased" WrongTerm {
        "train/norm_stats": "squares / count"
            => "squares / max(count - 1.0, 1.0)"
    }
    "means_without_pivots" WrongTerm {
        "train/norm_stats": "sum += ((slices[at] - pivot) + slices[at + line])"
            => "sum += slices[at + line]"
    }
    "slices_of_one_weight" WrongTerm {
        "train/norm_stats": "apart * apart * part"
            => "apart * apart"
    }
    "slices_never_apart" WrongTerm { "train/norm_stats": " + apart * apart * part" => "" }
    "last_slice_counts_whole" MissingTail {
        "train/norm_stats":
            "f32(min(params.chunk, params.pixels - slice * params.chunk));\n        sum"
                => "f32(params.chunk);\n        sum"
    }
    "last_slice_alone" StaleTile { "train/norm_stats": "sum += ((slices" => "sum = ((slices" }
    "squares_of_the_first_slice" StaleTile {
        "train/norm_stats": "slices[at + 2u * line]" => "slices[column + 2u * line]"
    }
    "lost_gamma" LostBias { "train/norm_stats": "affine[column] * inverse" => "inverse" }
    "gamma_as_beta" SwappedStride {
        "train/norm_stats": "affine[column + line]"
            => "affine[column]"
    }
    "lost_pivot" LostBias {
        "train/norm_stats": "dst[column] = pivot"
            => "dst[column] = vec4<f32>(0.0)"
    }
    "padding_not_cleared" PaddingAsData {
        "train/norm_stats": "select(vec4<f32>(0.0), inverse, keep)" => "inverse"
    }
    "nan_swallowed" NanSwallowed {
        "train/norm_stats": "squares / count"
            => "max(squares / count, vec4<f32>(0.0))"
    }
};

const PARTIALS: &[Mutant] = mutants! { NormPartials, "norm_partials":
    "mean_over_a_whole_slice" WrongTerm {
        "train/norm_partials": "= sum${c} / count" => "= sum${c} / f32(params.chunk)"
    }
    "not_squared" WrongTerm {
        "train/norm_partials": "squares${c} += centred${c} * centred${c}"
            => "squares${c} += centred${c}"
    }
    "last_square_alone" StaleTile { "train/norm_partials": "squares${c} += " => "squares${c} = " }
    "lost_pivot" LostBias {
        "train/norm_partials": "sum${c} += src[pixel * line + column${c}] - pivot${c}"
            => "sum${c} += src[pixel * line + column${c}]"
    }
    "pivot_as_mean" WrongTerm {
        "train/norm_partials": "dst[at + line + column${c}] = delta${c}"
            => "dst[at + line + column${c}] = pivot${c}"
    }
    "stored_over_the_first_slice" WrongGroup {
        "train/norm_partials": "let at = slice * 3u * line"
            => "let at = 0u"
    }
    "slices_overlap" SwappedStride {
        "train/norm_partials": "slice * 3u * line"
            => "slice * 2u * line"
    }
    "nan_swallowed" NanSwallowed {
        "train/norm_partials": "sum${c} += src[pixel * line + column${c}] - pivot${c}"
            => "sum${c} += max(src[pixel * line + column${c}] - pivot${c}, vec4<f32>(-1e9))"
    }
};

const FROZEN: &[Mutant] = mutants! { NormFrozen, "norm_frozen":
    "lost_eps" LostBias { "train/norm_frozen": " + bitcast<f32>(params.eps)" => "" }
    "lost_mean" LostBias {
        "train/norm_frozen": "dst[column] = running[column]"
            => "dst[column] = vec4<f32>(0.0)"
    }
    "mean_as_variance" SwappedStride {
        "train/norm_frozen": "variance = running[column + line]"
            => "variance = abs(running[column])"
    }
    "mean_twice" WrongTerm {
        "train/norm_frozen": "dst[column + line] = vec4<f32>(0.0)"
            => "dst[column + line] = running[column]"
    }
    "lost_gamma" LostBias { "train/norm_frozen": "affine[column] * inverse" => "inverse" }
    "gamma_as_beta" SwappedStride {
        "train/norm_frozen": "affine[column + line]"
            => "affine[column]"
    }
    "deviation_for_its_inverse" WrongTerm { "train/norm_frozen": "1.0 / sqrt(" => "sqrt(" }
    "padding_not_cleared" PaddingAsData {
        "train/norm_frozen": "select(vec4<f32>(0.0), inverse, keep)"
            => "inverse"
    }
    "nan_swallowed" NanSwallowed {
        "train/norm_frozen": "dst[column + 5u * line] = variance"
            => "dst[column + 5u * line] = max(variance, vec4<f32>(0.0))"
    }
};

const APPLY: &[Mutant] = mutants! { NormApply, "norm_apply":
    "lost_delta" LostBias {
        "train/norm_apply": "((src[at${r}] - pivot) - delta)"
            => "(src[at${r}] - pivot)"
    }
    "mean_made_whole_first" WrongTerm {
        "train/norm_apply": "((src[at${r}] - pivot) - delta)" => "(src[at${r}] - (pivot + delta))"
    }
    "scale_as_beta" SwappedStride {
        "train/norm_apply": "coefficients[column + 3u * line]" => "coefficients[column + 2u * line]"
    }
    "next_value" OffByOne { "train/norm_apply": "src[at${r}]" => "src[at${r} + 1u]" }
    "lost_residual" WrongResidual {
        "train/norm_apply": "value${r} + residual[at${r}]"
            => "value${r}"
    }
    "residual_of_the_first_row" WrongResidual {
        "train/norm_apply": "residual[at${r}]"
            => "residual[at0]"
    }
    "lost_relu" ReluOrder { "train/norm_apply": "relu(sum${r})" => "sum${r}" }
    "relu_before_residual" ReluOrder {
        "train/norm_apply": "value${r} + residual" => "max(value${r}, vec4<f32>(0.0)) + residual"
    }
    "nan_swallowed" NanSwallowed {
        "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
            => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
    }
};

const RUNNING: &[Mutant] = mutants! { RunningStats, "running_stats":
    "biased" WrongTerm { "train/running_stats": " * bitcast<f32>(params.unbiased)" => "" }
    "mean_turned_round" WrongTerm {
        "train/running_stats": "running[column] * (1.0 - momentum) + mean * momentum"
            => "running[column] * momentum + mean * (1.0 - momentum)"
    }
    "old_variance_lost" WrongTerm {
        "train/running_stats": "running[column + line] * (1.0 - momentum) +"
            => ""
    }
    "lost_delta" LostBias {
        "train/running_stats": "coefficients[column] + coefficients[column + line]"
            => "coefficients[column]"
    }
    "deviation_as_variance" SwappedStride {
        "train/running_stats": "coefficients[column + 5u * line]"
            => "coefficients[column + 4u * line]"
    }
    "variance_as_momentum" SwappedStride {
        "train/running_stats": "running[column + 2u * line]" => "running[column + line]"
    }
    "lost_momentum" LostBias {
        "train/running_stats": "dst[column + 2u * line] = momentum"
            => "dst[column + 2u * line] = vec4<f32>(0.0)"
    }
    "nan_swallowed" NanSwallowed {
        "train/running_stats": "coefficients[column] + coefficients[column + line]"
            => "max(coefficients[column] + coefficients[column + line], vec4<f32>(-1e9))"
    }
};

const SUMS: &[Mutant] = mutants! { NormGradSums, "norm_grad_sums":
    "first_slice_left_out" OffByOne { "train/norm_grad_sums": "var slice = 0u" => "var slice = 1u" }
    "last_slice_left_out" OffByOne {
        "train/norm_grad_sums": "slice < params.slices"
            => "slice + 1u < params.slices"
    }
    "last_slice_alone" StaleTile {
        "train/norm_grad_sums": "centred_sum += slices"
            => "centred_sum = slices"
    }
    "slices_overlap" SwappedStride { "train/norm_grad_sums": "slice * 2u * line" => "slice * line" }
    "not_normalised" LostBias { "train/norm_grad_sums": "centred_sum * inverse" => "centred_sum" }
    "beta_as_gamma" SwappedStride {
        "train/norm_grad_sums": "dst[column] = gamma"
            => "dst[column] = sum"
    }
    "sign_of_the_mean" WrongTerm {
        "train/norm_grad_sums": "-scale * (sum * share)"
            => "scale * (sum * share)"
    }
    "sign_of_the_variance" WrongTerm {
        "train/norm_grad_sums": "-(scale * inverse)"
            => "(scale * inverse)"
    }
    "not_shared_out" WrongTerm { "train/norm_grad_sums": "(gamma * share)" => "gamma" }
    "pivot_for_delta" SwappedStride {
        "train/norm_grad_sums": "= coefficients[column + line]" => "= coefficients[column]"
    }
    "nan_swallowed" NanSwallowed {
        "train/norm_grad_sums": "dst[column + line] = sum"
            => "dst[column + line] = max(sum, vec4<f32>(-1e9))"
    }
};

const GRAD_PARTIALS: &[Mutant] = mutants! { NormGradPartials, "norm_grad_partials":
    "values_lost" WrongTerm { "train/norm_grad_partials": "+= g${c} * centred${c}" => "+= g${c}" }
    "lost_delta" LostBias {
        "train/norm_grad_partials": "- pivot${c}) - delta${c}"
            => "- pivot${c})"
    }
    "lost_beta" LostBias {
        "train/norm_grad_partials": "* scale${c} + beta${c} <="
            => "* scale${c} <="
    }
    "zero_lets_through" ReluOrder { "train/norm_grad_partials": "+ beta${c} <=" => "+ beta${c} <" }
    "lost_relu" ReluOrder {
        "train/norm_grad_partials": "vec4<f32>(0.0), is_zero${c})"
            => "gradient[pixel * line + column${c}], is_zero${c})"
    }
    "last_gradient_alone" StaleTile {
        "train/norm_grad_partials": "sum${c} += g${c};"
            => "sum${c} = g${c};"
    }
    "stored_over_the_first_slice" WrongGroup {
        "train/norm_grad_partials": "let at = slice * 2u * line" => "let at = 0u"
    }
    "slices_overlap" SwappedStride {
        "train/norm_grad_partials": "slice * 2u * line"
            => "slice * line"
    }
    "nan_swallowed" NanSwallowed {
        "train/norm_grad_partials": "sum${c} += g${c};" => "sum${c} += max(g${c}, vec4<f32>(-1e9));"
    }
};

const GRAD: &[Mutant] = mutants! { NormGrad, "norm_grad":
    "lost_mean" LostBias {
        "train/norm_grad": "(centred${r} * of_variance + of_mean)"
            => "centred${r} * of_variance"
    }
    "lost_variance" LostBias {
        "train/norm_grad": "(centred${r} * of_variance + of_mean)"
            => "of_mean"
    }
    "lost_scale" LostBias { "train/norm_grad": "g${r} * scale + (" => "g${r} + (" }
    "lost_delta" LostBias {
        "train/norm_grad": "(src[at${r}] - pivot) - delta"
            => "src[at${r}] - pivot"
    }
    "mean_made_whole_first" WrongTerm {
        "train/norm_grad": "(src[at${r}] - pivot) - delta" => "src[at${r}] - (pivot + delta)"
    }
    "relu_upside_down" ReluOrder { "train/norm_grad": "+ beta <= vec4" => "+ beta > vec4" }
    "zero_lets_through" ReluOrder { "train/norm_grad": "+ beta <= vec4" => "+ beta < vec4" }
    "gradient_of_the_first_row" StaleTile {
        "train/norm_grad": "select(gradient[at${r}]"
            => "select(gradient[at0]"
    }
    "sums_exchanged" SwappedStride {
        "train/norm_grad": "sums[column + 6u * line]"
            => "sums[column + 7u * line]"
    }
    "nan_swallowed" NanSwallowed {
        "train/norm_grad": "= g${r} * scale" => "= max(g${r}, vec4<f32>(-1e9)) * scale"
    }
};
