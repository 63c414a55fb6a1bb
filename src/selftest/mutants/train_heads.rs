//! Mutants of ReLU's gradient, of a network's head in training, and of the loss.

use super::shared::{of_every_channel, of_every_second_dimension, of_every_value};
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_value!(ReluGrad, "relu_grad", "train/relu_grad"),
    RELU,
    of_every_value!(MaxPoolGrad, "max_pool_grad", "train/max_pool_grad"),
    MAX_POOL,
    of_every_value!(AvgPoolGrad, "avg_pool_grad", "train/avg_pool_grad"),
    AVG_POOL,
    of_every_value!(AddBias, "add_bias", "train/add_bias"),
    ADD_BIAS,
    of_every_channel!(BiasGrad, "bias_grad", "train/bias_grad"),
    of_every_second_dimension!(BiasGrad, "bias_grad", "train/bias_grad"),
    BIAS,
    of_every_image!(CrossEntropy, "cross_entropy", "train/cross_entropy"),
    of_every_second_dimension!(CrossEntropy, "cross_entropy", "train/cross_entropy"),
    LOSS,
    of_every_image!(CrossEntropyGrad, "cross_entropy_grad", "train/cross_entropy_grad"),
    of_every_second_dimension!(CrossEntropyGrad, "cross_entropy_grad", "train/cross_entropy_grad"),
    LOSS_GRAD,
    GATE,
];

/// Faults of kernels with one image per invocation, and of the logarithm of a sum of exponentials.
macro_rules! of_every_image {
    ($family:ident, $prefix:literal, $file:literal) => {
        mutants! { $family, $prefix:
            "image_behind_the_end" OffByOne { $file: "item >= params.items"
                => "item > params.items" }
            "tail" MissingTail { $file: "if item >= params.items" => "if false" }
            "last_image_left_out" OffByOne { $file: "item >= params.items"
                => "item + 1u >= params.items" }
            "workgroups_overlap" OffByOne { $file: "${LANES}u + local.x"
                => "(${LANES}u - 1u) + local.x" }
            "first_class_is_the_target" StaleTile { $file: "u32(targets[item].x)" => "0u" }
            "exponentials_of_padding" PaddingAsData {
                "shared/log_sum":
            "select(vec4<f32>(0.0), next, channels_of(column, params.class_vec4, params.classes))"
                    => "next"
            }
            "not_from_the_largest" WrongTerm {
                "shared/log_sum": "exp(scores[base + column] - largest)"
                    => "exp(scores[base + column])"
            }
            "scores_of_the_first_image" WrongGroup {
                "shared/log_sum": "exp(scores[base + column]" => "exp(scores[column]"
            }
            "last_column_left_out" OffByOne {
                "shared/log_sum":
                    "column < params.class_vec4; column += 1u) {\n        let next = exp"
                    => "column + 1u < params.class_vec4; column += 1u) {\n        let next = exp"
            }
            "nan_swallowed" NanSwallowed {
                "shared/log_sum": "let next = exp(scores[base + column] - largest);"
                    => "let next = max(exp(scores[base + column] - largest), vec4<f32>(0.0));"
            }
        }
    };
}

use of_every_image;

const RELU: &[Mutant] = mutants! { ReluGrad, "relu_grad":
    "zero_lets_through" ReluOrder { "train/relu_grad": "output[at] <= vec4" => "output[at] < vec4" }
    "upside_down" ReluOrder { "train/relu_grad": "output[at] <= vec4" => "output[at] > vec4" }
    "lost_relu" ReluOrder {
        "train/relu_grad": "select(src[at], vec4<f32>(0.0), output[at] <= vec4<f32>(0.0))"
            => "src[at]"
    }
    "sign_of_the_gradient" WrongTerm { "train/relu_grad": "output[at] <=" => "src[at] <=" }
    "output_of_next_value" OffByOne { "train/relu_grad": "output[at] <=" => "output[at + 1u] <=" }
    "gradient_of_next_value" OffByOne {
        "train/relu_grad": "select(src[at]"
            => "select(src[at + 1u]"
    }
    "nan_swallowed" NanSwallowed {
        "train/relu_grad": "select(src[at], vec4<f32>(0.0), output[at] <= vec4<f32>(0.0))"
            => "select(vec4<f32>(0.0), src[at], output[at] > vec4<f32>(0.0))"
    }
};

const MAX_POOL: &[Mutant] = mutants! { MaxPoolGrad, "max_pool_grad":
    "first_line_of_windows" OffByOne {
        "train/max_pool_grad": "(max(y + params.padding, 2u) - 1u) / 2u"
            => "(y + params.padding) / 2u"
    }
    "windows_behind_the_last" MissingTail {
        "train/max_pool_grad": "min((x + params.padding) / 2u, params.out_width - 1u)"
            => "(x + params.padding) / 2u"
    }
    "last_of_equals" OffByOne { "train/max_pool_grad": "next > largest" => "next >= largest" }
    "smallest" SwappedStride { "train/max_pool_grad": "next > largest" => "next < largest" }
    "last_tap_left_out" OffByOne { "train/max_pool_grad": "tap < 9u" => "tap < 8u" }
    "padding_of_the_other_windows" PaddingAsData {
        "train/max_pool_grad": "window_x * 2u + tap % 3u - params.padding"
            => "window_x * 2u + tap % 3u - 1u"
    }
    "top_and_bottom_not_checked" MissingTail {
        "train/max_pool_grad": "tap_y < params.in_height && "
            => ""
    }
    "right_edge" OffByOne {
        "train/max_pool_grad": "tap_x < params.in_width"
            => "tap_x <= params.in_width"
    }
    "last_window_alone" StaleTile { "train/max_pool_grad": "sum += select" => "sum = select" }
    "first_image_only" WrongGroup {
        "train/max_pool_grad": "item * params.in_height + tap_y"
            => "tap_y"
    }
    "windows_of_the_first_image" WrongGroup {
        "train/max_pool_grad": "(item * params.out_height + window_y)" => "(window_y)"
    }
    "output_width" SwappedStride {
        "train/max_pool_grad": "* params.out_width + window_x" => "* params.in_width + window_x"
    }
    "nan_forgotten" NanSwallowed { "train/max_pool_grad": "none_yet | is_nan |" => "none_yet |" }
    "nan_swallowed" NanSwallowed {
        "train/max_pool_grad": "let g = gradient[window * params.vec4_per_pixel + column];"
            => "let g = max(gradient[window * params.vec4_per_pixel + column], vec4<f32>(-1e9));"
    }
};

const AVG_POOL: &[Mutant] = mutants! { AvgPoolGrad, "avg_pool_grad":
    "not_divided" LostBias { "train/avg_pool_grad": " * bitcast<f32>(params.scale)" => "" }
    "first_image_only" WrongGroup {
        "train/avg_pool_grad": "pixel / (params.in_height * params.in_width)"
            => "0u"
    }
    "images_by_lines" SwappedStride {
        "train/avg_pool_grad": "(params.in_height * params.in_width)" => "params.in_width"
    }
    "images_overlap" SwappedStride {
        "train/avg_pool_grad": "item * params.vec4_per_pixel +"
            => "item +"
    }
    "first_channels_only" StaleTile { "train/avg_pool_grad": "+ at % params.vec4_per_pixel" => "" }
    "next_channels" OffByOne {
        "train/avg_pool_grad": "+ at % params.vec4_per_pixel"
            => "+ (at + 1u) % params.vec4_per_pixel"
    }
    "nan_swallowed" NanSwallowed {
        "train/avg_pool_grad": "src[item * params.vec4_per_pixel + at % params.vec4_per_pixel]"
            => "max(src[item * params.vec4_per_pixel + at % params.vec4_per_pixel], \
                vec4<f32>(-1e9))"
    }
};

const ADD_BIAS: &[Mutant] = mutants! { AddBias, "add_bias":
    "lost_bias" LostBias { "train/add_bias": " + bias[at % params.vec4_per_pixel]" => "" }
    "bias_of_the_first_channels" StaleTile {
        "train/add_bias": "at % params.vec4_per_pixel"
            => "0u"
    }
    "bias_by_value" SwappedStride {
        "train/add_bias": "at % params.vec4_per_pixel" => "min(at, params.vec4_per_pixel - 1u)"
    }
    "subtracted" WrongTerm { "train/add_bias": "src[at] + bias" => "src[at] - bias" }
    "bias_alone" WrongTerm { "train/add_bias": "src[at] + bias" => "bias" }
    "next_value" OffByOne { "train/add_bias": "src[at] +" => "src[at + 1u] +" }
    "nan_swallowed" NanSwallowed {
        "train/add_bias": "src[at] +"
            => "max(src[at], vec4<f32>(-1e9)) +"
    }
};

const BIAS: &[Mutant] = mutants! { BiasGrad, "bias_grad":
    "first_pixel_left_out" OffByOne {
        "train/bias_grad": "var sum = gradient[column]"
            => "var sum = vec4<f32>(0.0)"
    }
    "second_pixel_left_out" OffByOne { "train/bias_grad": "var pixel = 1u" => "var pixel = 2u" }
    "last_pixel_left_out" OffByOne {
        "train/bias_grad": "pixel < params.pixels"
            => "pixel + 1u < params.pixels"
    }
    "last_pixel_alone" StaleTile { "train/bias_grad": "sum += gradient" => "sum = gradient" }
    "pixels_overlap" SwappedStride { "train/bias_grad": "pixel * params.vec4_per_pixel" => "pixel" }
    "nan_swallowed" NanSwallowed {
        "train/bias_grad": "dst[column] = sum"
            => "dst[column] = max(sum, vec4<f32>(-1e9))"
    }
};

const LOSS: &[Mutant] = mutants! { CrossEntropy, "cross_entropy":
    "all_equals_come_before" OffByOne {
        "train/cross_entropy": "(class_number < vec4<u32>(target_class))"
            => "(class_number != vec4<u32>(target_class))"
    }
    "padding_comes_before" PaddingAsData { "train/cross_entropy": "before & keep" => "before" }
    "padding_is_a_class" PaddingAsData {
        "train/cross_entropy": "select(vec4<f32>(0.0), vec4<f32>(whole) - next, keep)"
            => "vec4<f32>(whole) - next"
    }
    "smoothing_on_top" WrongTerm { "train/cross_entropy": "(1.0 - smoothing) * loss" => "loss" }
    "spread_not_divided" WrongTerm { "train/cross_entropy": "all / f32(params.classes)" => "all" }
    "score_lost" LostBias { "train/cross_entropy": "whole - target_score" => "whole" }
    "rank_of_one_channel" OffByOne {
        "train/cross_entropy": "above.z + above.w"
            => "above.z + above.z"
    }
};

const LOSS_GRAD: &[Mutant] = mutants! { CrossEntropyGrad, "cross_entropy_grad":
    "target_lost" LostBias { "train/cross_entropy_grad": " - aimed" => "" }
    "smoothing_lost" LostBias { "train/cross_entropy_grad": " - spread) *" => ") *" }
    "not_shared_out" LostBias { "train/cross_entropy_grad": " * bitcast<f32>(params.share)" => "" }
    "smoothing_on_top" WrongTerm {
        "train/cross_entropy_grad": "vec4<f32>(1.0 - smoothing)"
            => "vec4<f32>(1.0)"
    }
    "next_class" OffByOne {
        "train/cross_entropy_grad": "== vec4<u32>(target_class)"
            => "== vec4<u32>(target_class + 1u)"
    }
    "largest_twice" WrongTerm {
        "train/cross_entropy_grad": "log_sum(base, largest) - largest" => "log_sum(base, largest)"
    }
    "padding_not_cleared" PaddingAsData {
        "train/cross_entropy_grad": "select(vec4<f32>(0.0), gradient, keep)" => "gradient"
    }
};

/// One invocation, so no tail and no grid.
const GATE: &[Mutant] = mutants! { Gate, "gate":
    "last_loss_decides" StaleTile { "train/gate": "finite = finite && " => "finite = " }
    "first_loss_left_out" OffByOne { "train/gate": "var item = 0u" => "var item = 1u" }
    "last_losses_left_out" MissingTail {
        "train/gate": "item < params.items"
            => "item < min(params.items, 32u)"
    }
    "rank_for_loss" SwappedStride { "train/gate": "losses[item].x" => "losses[item].y" }
    "infinity_passes" OffByOne { "train/gate": "< 0x7f800000u" => "<= 0x7f800000u" }
    "negative_is_none" WrongTerm { "train/gate": "& 0x7fffffffu" => "" }
    "nan_swallowed" NanSwallowed { "train/gate": "< 0x7f800000u" => "!= 0x7f800000u" }
    "all_off" WrongGroup { "train/gate": "at == 1u && !finite" => "!finite" }
    "rate_off" SwappedStride { "train/gate": "at == 1u && !finite" => "at == 0u && !finite" }
    "never_off" LostBias { "train/gate": "at == 1u && !finite" => "false" }
    "on_for_off" WrongTerm { "train/gate": "vec4<f32>(0.0), at" => "vec4<f32>(1.0), at" }
    "last_number_not_stored" OffByOne { "train/gate": "at < 5u" => "at < 4u" }
    "number_behind_the_end" OffByOne { "train/gate": "at < 5u" => "at < 6u" }
    "first_number_for_every_one" StaleTile { "train/gate": "control[at]" => "control[0]" }
};
