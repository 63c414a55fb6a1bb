//! Mutants of the gradients of convolutions, and of the kernels that prepare weights for them.

use super::shared::{of_every_second_dimension, of_every_value};
use super::{Fault, Mutant, mutants};
use crate::kernel::Family;
use crate::shader::Patch;

pub(super) const MUTANTS: &[&[Mutant]] = &[
    WEIGHTS,
    SUBGROUP,
    of_every_value!(WeightGradSum, "weight_grad_sum", "train/weight_grad_sum"),
    SUM,
    of_every_value!(InputGrad, "input_grad", "train/input_grad"),
    IMAGE,
    EQUIVALENT,
    of_every_second_dimension!(MirroredWeights, "mirrored_weights", "train/mirrored_weights"),
    MIRRORED,
    of_every_second_dimension!(WinogradWeights, "winograd_weights", "train/winograd_weights"),
    WINOGRAD,
];

const WEIGHTS: &[Mutant] = mutants! { WeightGrad, "weight_grad":
    "pixel_left_out" OffByOne {
        "train/weight_grad": "min(first + params.chunk, params.pixels);"
            => "min(first + params.chunk, params.pixels) - 1u;"
    }
    "slice_goes_on" MissingTail {
        "train/weight_grad": "min(first + params.chunk, params.pixels);" => "first + params.chunk;"
    }
    "stride_lost_in_y" SwappedStride {
        "train/weight_grad": "y * params.stride + tap_y"
            => "y + tap_y"
    }
    "stride_lost_in_x" SwappedStride {
        "train/weight_grad": "x * params.stride + tap_x"
            => "x + tap_x"
    }
    "dilation_ignored_below" DilationIgnored {
        "train/weight_grad": "tap / params.side * params.dilation" => "tap / params.side"
    }
    "dilation_ignored_on_the_right" DilationIgnored {
        "train/weight_grad": "tap % params.side * params.dilation" => "tap % params.side"
    }
    "taps_transposed" SwappedStride {
        "train/weight_grad": "tap / params.side * params.dilation"
            => "tap % params.side * params.dilation",
        "train/weight_grad": "let tap_x = tap % params.side" => "let tap_x = tap / params.side",
    }
    "first_group_only" WrongGroup {
        "train/weight_grad": "column / params.group_out_vec4 * params.group_in_vec4" => "0u"
    }
    "groups_by_output" WrongGroup {
        "train/weight_grad": "column / params.group_out_vec4 * params.group_in_vec4"
            => "column / params.group_out_vec4 * params.group_out_vec4"
    }
    "sides_not_checked" MissingTail {
        "train/weight_grad": "in_y < params.in_height && in_x < params.in_width"
            => "in_y < params.in_height"
    }
    "right_edge" OffByOne {
        "train/weight_grad": "&& in_x < params.in_width"
            => "&& in_x <= params.in_width"
    }
    "first_rows_only" StaleTile {
        "train/weight_grad": "let first_row = tile / taps * ${ROWS}u" => "let first_row = 0u"
    }
    "last_pixel_alone" StaleTile { "train/weight_grad": "acc${r} += mat4x4" => "acc${r} = mat4x4" }
    "first_image_only" WrongGroup {
        "train/weight_grad": "(item * params.in_height + in_y)"
            => "(in_y)"
    }
    "image_never_ends" StaleTile { "train/weight_grad": "item += 1u;" => "" }
    "line_ends_late" OffByOne {
        "train/weight_grad": "x == params.out_width"
            => "x > params.out_width"
    }
    "gradient_by_input" SwappedStride {
        "train/weight_grad": "pixel * params.out_vec4"
            => "pixel * params.in_vec4"
    }
    "gradient_of_next_column" OffByOne {
        "train/weight_grad": "params.out_vec4 + column];" => "params.out_vec4 + column + 1u];"
    }
    "row_tail" MissingTail {
        "train/weight_grad": "if first_row + ${r}u < params.group_in_vec4 {"
            => "if true {"
    }
    "stored_over_the_first_slice" WrongGroup {
        "train/weight_grad": "let to = slice * params.vec4s +"
            => "let to ="
    }
    "padding_not_cleared" PaddingAsData {
        "train/weight_grad": "outputs & vec4<bool>(inputs[k])"
            => "outputs"
    }
    "nan_swallowed" NanSwallowed {
        "train/weight_grad": "gradient[pixel * params.out_vec4 + column];"
            => "max(gradient[pixel * params.out_vec4 + column], vec4<f32>(-1e9));"
    }
};

const SUBGROUP: &[Mutant] = mutants! { WeightGradSubgroup, "weight_grad_subgroup":
    "pixels_behind_the_end" MissingTail {
        "train/weight_grad_subgroup": "pixel < end && in_y"
            => "in_y"
    }
    "slice_goes_on" MissingTail {
        "train/weight_grad_subgroup": "min((slice + 1u) * params.chunk, params.pixels)"
            => "(slice + 1u) * params.chunk"
    }
    "last_pixels_left_out" OffByOne {
        "train/weight_grad_subgroup": "base < end; base"
            => "base + 4u < end; base"
    }
    "every_column_is_the_first" StaleTile {
        "train/weight_grad_subgroup": "gradient_at(at${p}, column${c})"
            => "gradient_at(at${p}, column0)"
    }
    "one_line_a_step" StaleTile {
        "train/weight_grad_subgroup": "while x >= params.out_width" => "if x >= params.out_width"
    }
    "broadcast_of_the_first_channels" StaleTile {
        "train/weight_grad_subgroup": "${q*4%LANES+p}u)" => "${p}u)"
    }
    "broadcast_of_the_first_hand" StaleTile {
        "train/weight_grad_subgroup": "v${q*4/LANES}, "
            => "v0, "
    }
    "hands_overlap" SwappedStride {
        "train/weight_grad_subgroup": "${h*LANES/4}u + lane / 4u"
            => "${h}u + lane / 4u"
    }
    "same_pixel_for_every_lane" StaleTile {
        "train/weight_grad_subgroup": "params.chunk + lane % 4u"
            => "params.chunk"
    }
    "third_pixel_twice" OffByOne {
        "train/weight_grad_subgroup": "b${q}_3[${k}]"
            => "b${q}_2[${k}]"
    }
    "dilation_ignored_below" DilationIgnored {
        "train/weight_grad_subgroup": "tap / params.side * params.dilation" => "tap / params.side"
    }
    "dilation_ignored_on_the_right" DilationIgnored {
        "train/weight_grad_subgroup": "tap % params.side * params.dilation" => "tap % params.side"
    }
    "stride_lost_in_y" SwappedStride {
        "train/weight_grad_subgroup": "y * params.stride + tap_y"
            => "y + tap_y"
    }
    "stride_lost_in_x" SwappedStride {
        "train/weight_grad_subgroup": "x * params.stride + tap_x"
            => "x + tap_x"
    }
    "sides_not_checked" MissingTail {
        "train/weight_grad_subgroup": " && in_x < params.in_width;"
            => ";"
    }
    "right_edge" OffByOne {
        "train/weight_grad_subgroup": "in_x < params.in_width;"
            => "in_x <= params.in_width;"
    }
    "first_image_only" WrongGroup {
        "train/weight_grad_subgroup": "(item * params.in_height + in_y)"
            => "(in_y)"
    }
    "row_tail" MissingTail {
        "train/weight_grad_subgroup": "if first_row + ${q}u < params.in_vec4 {"
            => "if true {"
    }
    "stored_over_the_first_slice" WrongGroup {
        "train/weight_grad_subgroup": "let row = slice * params.vec4s +" => "let row ="
    }
    "padding_not_cleared" PaddingAsData {
        "train/weight_grad_subgroup": "outputs${c} & vec4<bool>(inputs[${k}])" => "outputs${c}"
    }
    "lines_of_the_texture" SwappedStride {
        "train/weight_grad_subgroup": "pixel >> params.fold" => "pixel >> (params.fold + 1u)"
    }
    "nan_swallowed" NanSwallowed {
        "train/weight_grad_subgroup": "mac(m${c}, x${q}_${k}, "
            => "mac(m${c}, max(x${q}_${k}, vec4<f32>(-1e9)), "
    }
};

const SUM: &[Mutant] = mutants! { WeightGradSum, "weight_grad_sum":
    "second_slice_left_out" OffByOne {
        "train/weight_grad_sum": "var slice = 1u;"
            => "var slice = 2u;"
    }
    "last_slice_left_out" OffByOne {
        "train/weight_grad_sum": "slice < params.slices"
            => "slice + 1u < params.slices"
    }
    "last_slice_alone" StaleTile { "train/weight_grad_sum": "sum += src" => "sum = src" }
    "first_slice_for_every_one" StaleTile {
        "train/weight_grad_sum": "at + slice * params.vec4s"
            => "at"
    }
    "slices_by_columns" SwappedStride {
        "train/weight_grad_sum": "slice * params.vec4s"
            => "slice * params.out_vec4"
    }
    "slices_overlap" OffByOne {
        "train/weight_grad_sum": "slice * params.vec4s"
            => "slice * (params.vec4s - 1u)"
    }
    "nan_swallowed" NanSwallowed {
        "train/weight_grad_sum": "dst[at] = sum"
            => "dst[at] = max(sum, vec4<f32>(-1e9))"
    }
};

const IMAGE: &[Mutant] = mutants! { InputGrad, "input_grad":
    "lines_between_steps" SwappedStride {
        "train/input_grad": "line * params.stride != steps_y ||"
            => ""
    }
    "columns_between_steps" SwappedStride {
        "train/input_grad": "place * params.stride != steps_x ||"
            => ""
    }
    "first_channels_of_the_group" WrongGroup {
        "train/input_grad": "column % params.group_in_vec4"
            => "0u"
    }
    "first_group_only" WrongGroup {
        "train/input_grad": "column / params.group_in_vec4 * params.group_out_vec4" => "0u"
    }
    "right_edge" MissingTail { "train/input_grad": "|| place >= params.out_width" => "" }
    "bottom_edge" OffByOne {
        "train/input_grad": "line >= params.out_height"
            => "line > params.out_height"
    }
    "taps_transposed" SwappedStride {
        "train/input_grad": "(tap_y * params.side + tap_x) *" => "(tap_x * params.side + tap_y) *"
    }
    "dilation_ignored_above" DilationIgnored {
        "train/input_grad": "params.padding - tap_y * params.dilation" => "params.padding - tap_y"
    }
    "first_image_only" WrongGroup {
        "train/input_grad": "(item * params.out_height + line)"
            => "(line)"
    }
    "last_channels" OffByOne {
        "train/input_grad": "k < params.group_out_vec4"
            => "k + 1u < params.group_out_vec4"
    }
    "last_tap" OffByOne { "train/input_grad": "tap_x < params.side" => "tap_x + 1u < params.side" }
    "last_term_alone" StaleTile { "train/input_grad": "sum += gradient" => "sum = gradient" }
    "padding_not_cleared" PaddingAsData {
        "train/input_grad":
            "select(vec4<f32>(0.0), sum, channels_of(column, params.in_run_vec4, \
                params.in_run_channels))"
                => "sum"
    }
    "nan_swallowed" NanSwallowed {
        "train/input_grad": "gradient[source + k] *"
            => "max(gradient[source + k], vec4<f32>(-1e9)) *"
    }
};

/// Faults without an effect that a test can detect.
const EQUIVALENT: &[Mutant] = &[
    Mutant {
        name: "input_grad.left_edge",
        family: Family::InputGrad,
        fault: Fault::MissingTail,
        patches: &[Patch::new(
            "train/input_grad",
            "x + params.padding < tap_x * params.dilation ||",
            "",
        )],
        equivalent: Some(
            "a position before the first wraps around to one after the last, which is checked",
        ),
    },
    Mutant {
        name: "weight_grad_subgroup.column_tail",
        family: Family::WeightGradSubgroup,
        fault: Fault::MissingTail,
        patches: &[Patch::new(
            "train/weight_grad_subgroup",
            "if first_column + ${c*LANES}u < params.out_vec4 {",
            "if true {",
        )],
        equivalent: Some("columns beyond the end repeat the last one, and store the same values"),
    },
];

const MIRRORED: &[Mutant] = mutants! { MirroredWeights, "mirrored_weights":
    "matrix_behind_the_end" OffByOne {
        "train/mirrored_weights": "at >= params.vec4s / 4u"
            => "at > params.vec4s / 4u"
    }
    "tail" MissingTail { "train/mirrored_weights": "if at >= params.vec4s / 4u" => "if false" }
    "last_matrix_not_stored" OffByOne {
        "train/mirrored_weights": "at >= params.vec4s"
            => "at + 1u >= params.vec4s"
    }
    "workgroups_overlap" OffByOne {
        "train/mirrored_weights": "${LANES}u + local.x"
            => "(${LANES}u - 1u) + local.x"
    }
    "taps_not_turned" WrongTerm {
        "train/mirrored_weights": "params.side * params.side - 1u - tap"
            => "tap"
    }
    "tap_left_out" OffByOne {
        "train/mirrored_weights": "params.side - 1u - tap"
            => "params.side - max(tap, 1u)"
    }
    "not_transposed" SwappedStride {
        "train/mirrored_weights": "transpose(src[source_quad * params.out_vec4 + source_column])"
            => "src[source_quad * params.out_vec4 + source_column]"
    }
    "first_group_only" WrongGroup {
        "train/mirrored_weights": "column / params.group_in_vec4 * params.group_out_vec4 +" => ""
    }
    "columns_by_input" SwappedStride {
        "train/mirrored_weights": "quad % params.group_out_vec4" => "quad % params.group_in_vec4"
    }
    "taps_by_input" SwappedStride {
        "train/mirrored_weights": "quad / params.group_out_vec4" => "quad / params.group_in_vec4"
    }
    "first_channels_only" StaleTile {
        "train/mirrored_weights": " * params.group_in_vec4 + within" => " * params.group_in_vec4"
    }
    "rows_by_input" SwappedStride {
        "train/mirrored_weights": "source_quad * params.out_vec4" => "source_quad * params.in_vec4"
    }
    "nan_swallowed" NanSwallowed {
        "train/mirrored_weights":
            "dst[at] = transpose(src[source_quad * params.out_vec4 + source_column]);"
                => "let m = transpose(src[source_quad * params.out_vec4 + source_column]);
    let least = vec4<f32>(-1e9);
    dst[at] = mat4x4<f32>(max(m[0], least), max(m[1], least), max(m[2], least), max(m[3], least));"
    }
};

const WINOGRAD: &[Mutant] = mutants! { WinogradWeights, "winograd_weights":
    "word_behind_the_end" OffByOne {
        "train/winograd_weights": "at >= params.words"
            => "at > params.words"
    }
    "tail" MissingTail { "train/winograd_weights": "if at >= params.words" => "if false" }
    "last_word_left_out" OffByOne {
        "train/winograd_weights": "at >= params.words"
            => "at + 1u >= params.words"
    }
    "workgroups_overlap" OffByOne {
        "train/winograd_weights": "${LANES}u + local.x"
            => "(${LANES}u - 1u) + local.x"
    }
    "taps_transposed" SwappedStride {
        "train/winograd_weights": "${y*3+x}u * params.plane" => "${x*3+y}u * params.plane"
    }
    "positions_transposed" SwappedStride {
        "train/winograd_weights": "${i*INPUTS+j}u *"
            => "${j*INPUTS+i}u *"
    }
    "planes_overlap" OffByOne {
        "train/winograd_weights": "${y*3+x}u * params.plane" => "${y*3+x}u * (params.plane - 1u)"
    }
    "first_line_of_taps_only" StaleTile {
        "train/winograd_weights": "${y*3+x}u * params.plane" => "${x}u * params.plane"
    }
    "term_of_f2x2" WrongTerm { "train/winograd_weights": "even + 0.5 * g1" => "even + g1" }
    "sign_of_f2x2" WrongTerm { "train/winograd_weights": "0.5 * (g0 + g2)" => "0.5 * (g0 - g2)" }
    "sign_of_f4x4" WrongTerm { "train/winograd_weights": "far - 1.5 * g1" => "far + 1.5 * g1" }
    "term_of_f4x4" WrongTerm { "train/winograd_weights": "g0 + 0.390625 * g2" => "g0 + g2" }
    "distance_of_f4x4" WrongTerm {
        "train/winograd_weights": "(2.25 - 0.390625)"
            => "(2.25 + 0.390625)"
    }
    "nan_swallowed" NanSwallowed {
        "train/winograd_weights": "unpack(src[at + ${y*3+x}u * params.plane])"
            => "max(unpack(src[at + ${y*3+x}u * params.plane]), Values(-1e9))"
    }
};
