//! Mutants of the grouped 3x3 convolutions that slide along a line, from memory or from a staged
//! tile, or down the image.

use super::shared::{
    of_every_convolution, of_every_residual, of_every_texture_form, of_every_window,
};
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_convolution!(Conv3x3GroupedWindow, "conv3x3_grouped_window"),
    of_every_residual!(Conv3x3GroupedWindow, "conv3x3_grouped_window"),
    of_every_window!(Conv3x3GroupedWindow, "conv3x3_grouped_window"),
    of_every_texture_form!(Conv3x3GroupedWindow, "conv3x3_grouped_window"),
    WINDOW,
    of_every_convolution!(Conv3x3GroupedStaged, "conv3x3_grouped_staged"),
    of_every_residual!(Conv3x3GroupedStaged, "conv3x3_grouped_staged"),
    of_every_window!(Conv3x3GroupedStaged, "conv3x3_grouped_staged"),
    STAGED,
    of_every_convolution!(Conv3x3GroupedSlide, "conv3x3_grouped_slide"),
    of_every_residual!(Conv3x3GroupedSlide, "conv3x3_grouped_slide"),
    of_every_texture_form!(Conv3x3GroupedSlide, "conv3x3_grouped_slide"),
    SLIDE,
];

const WINDOW: &[Mutant] = mutants! { Conv3x3GroupedWindow, "conv3x3_grouped_window":
    "border_on_the_left" OffByOne {
        "conv3x3_grouped_window": "let left = first_x * ${STRIDE}u - 1u"
            => "let left = first_x * ${STRIDE}u"
    }
    "border_above" OffByOne {
        "conv3x3_grouped_window": "out_height) * ${STRIDE}u - 1u"
            => "out_height) * ${STRIDE}u"
    }
    "sides_not_checked" MissingTail {
        "conv3x3_grouped_window": "y < params.in_height && left + ${p}u < params.in_width"
            => "y < params.in_height"
    }
    "bottom_edge" OffByOne {
        "conv3x3_grouped_window": "y < params.in_height &&"
            => "y <= params.in_height &&"
    }
    "padding_read" PaddingAsData {
        "conv3x3_grouped_window": "select(vec4<f32>(0.0), unpack(src[a${p} + k]), mask${p})"
            => "unpack(src[a${p} + k])"
    }
    "line_tail" MissingTail {
        "conv3x3_grouped_window": "select(0u, (line + 1u) * params.out_width, line < lines)"
            => "params.rows"
    }
    "last_strip" MissingTail { "conv3x3_grouped_window": "/ ${ROWS}u + 1u" => "/ ${ROWS}u" }
    "third_grid_dimension" WrongGroup {
        "conv3x3_grouped_window": "group.z * params.row_groups + group.y"
            => "group.y"
    }
    "group_of_next_column" WrongGroup {
        "conv3x3_grouped_window": "min(column0, params"
            => "min(column0 + 1u, params"
    }
    "first_group_only" WrongGroup {
        "conv3x3_grouped_window": "inside${p}) + group_at"
            => "inside${p})"
    }
    "output_width" SwappedStride {
        "conv3x3_grouped_window": "+ y) * params.in_width"
            => "+ y) * params.out_width"
    }
    // The staged form's input and output are as wide as each other.
    "weights_by_input" SwappedStride {
        "shared/weights": "k4 * params.out_vec4" => "k4 * params.in_vec4"
    }
    "first_image_only" WrongGroup {
        "conv3x3_grouped_window": "(item * params.in_height + y)"
            => "(y)"
    }
    "weights_not_advanced" StaleTile {
        "conv3x3_grouped_window": "k4 += 3u * params.group_in_vec4;" => ""
    }
    "last_channels" OffByOne {
        "conv3x3_grouped_window": "k < params.group_in_vec4"
            => "k + 1u < params.group_in_vec4"
    }
};

const STAGED: &[Mutant] = mutants! { Conv3x3GroupedStaged, "conv3x3_grouped_staged":
    "dropped_barrier" DroppedBarrier { "conv3x3_grouped_staged": "workgroupBarrier();" => "" }
    "tile_half_filled" StaleTile {
        "conv3x3_grouped_staged": "at < STAGED_VEC4S;"
            => "at < STAGED_VEC4S / 2u;"
    }
    "border_on_the_left" OffByOne {
        "conv3x3_grouped_staged": "let left = first_x * ${STRIDE}u - 1u"
            => "let left = first_x * ${STRIDE}u"
    }
    "border_above" OffByOne {
        "conv3x3_grouped_staged": "tile_y * ${SLICES*STRIDE}u - 1u"
            => "tile_y * ${SLICES*STRIDE}u"
    }
    "sides_not_checked" MissingTail { "conv3x3_grouped_staged": "in_x < params.in_width && " => "" }
    "padding_read" PaddingAsData {
        "conv3x3_grouped_staged": "src[select(0u, source, inside)], vec4<bool>(inside))"
            => "src[select(0u, source, inside)], vec4<bool>(true))"
    }
    "line_tail" MissingTail {
        "conv3x3_grouped_staged":
            "select(0u, (line + 1u) * params.out_width, item < params.items \
                && y < params.out_height)"
                => "params.rows"
    }
    "line_tail_below" MissingTail { "conv3x3_grouped_staged": " && y < params.out_height)" => ")" }
    "third_grid_dimension" WrongGroup {
        "conv3x3_grouped_staged": "group.z * params.row_groups + group.y"
            => "group.y"
    }
    "first_columns_only" WrongGroup {
        "conv3x3_grouped_staged": "group.x * ${LANES}u + at % ${LANES}u"
            => "at % ${LANES}u"
    }
    "first_group_only" WrongGroup {
        "conv3x3_grouped_staged": "local.x / params.group_in_vec4 * params.group_in_vec4" => "0u"
    }
    "same_line_for_every_tap" StaleTile {
        "conv3x3_grouped_staged": "${STRIDE}u + tap_y)"
            => "${STRIDE}u)"
    }
    "window_by_column" SwappedStride { "conv3x3_grouped_staged": "${p*LANES}u + k" => "${p}u + k" }
    "first_image_only" WrongGroup {
        "conv3x3_grouped_staged": "((item * params.in_height + in_y)"
            => "((in_y)"
    }
    "weights_not_advanced" StaleTile {
        "conv3x3_grouped_staged": "k4 += 3u * params.group_in_vec4;" => ""
    }
};

const SLIDE: &[Mutant] = mutants! { Conv3x3GroupedSlide, "conv3x3_grouped_slide":
    "border_on_the_left" OffByOne {
        "conv3x3_grouped_slide": "let left = first_x - 1u"
            => "let left = first_x"
    }
    "border_above" OffByOne {
        "conv3x3_grouped_slide": "let y = first_y + turn - 1u"
            => "let y = first_y + turn"
    }
    "sides_not_checked" MissingTail {
        "conv3x3_grouped_slide": "y < params.in_height && left + ${p}u < params.in_width"
            => "y < params.in_height"
    }
    "bottom_edge" OffByOne {
        "conv3x3_grouped_slide": "y < params.in_height &&"
            => "y <= params.in_height &&"
    }
    "padding_read" PaddingAsData {
        "conv3x3_grouped_slide":
            "select(vec4<f32>(0.0), unpack(src[a${p}]), vec4<bool>(inside${p}))"
                => "unpack(src[a${p}])"
    }
    "line_tail" MissingTail {
        "conv3x3_grouped_slide": "select(0u, (line + 1u) * params.out_width, turn >= 2u)"
            => "params.rows"
    }
    "stored_too_early" OffByOne { "conv3x3_grouped_slide": "turn >= 2u)" => "turn >= 1u)" }
    "last_line_not_stored" OffByOne {
        "conv3x3_grouped_slide": "turn < lines + 2u"
            => "turn < lines + 1u"
    }
    "tail_of_parts" MissingTail {
        "conv3x3_grouped_slide": "min(${LINES}u, params.out_height - first_y)" => "${LINES}u"
    }
    "last_strip" MissingTail {
        "conv3x3_grouped_slide": "(params.out_width - 1u) / ${ROWS}u + 1u"
            => "(params.out_width - 1u) / ${ROWS}u"
    }
    "last_part" MissingTail {
        "conv3x3_grouped_slide": "(params.out_height - 1u) / ${LINES}u + 1u"
            => "(params.out_height - 1u) / ${LINES}u"
    }
    "third_grid_dimension" WrongGroup {
        "conv3x3_grouped_slide": "group.z * params.row_groups + group.y"
            => "group.y"
    }
    "group_of_next_column" WrongGroup {
        "conv3x3_grouped_slide": "valid_column0 / params.group_out_vec4"
            => "(valid_column0 + 1u) / params.group_out_vec4"
    }
    "first_group_only" WrongGroup {
        "conv3x3_grouped_slide": "inside${p}) + group_at"
            => "inside${p})"
    }
    "first_image_only" WrongGroup {
        "conv3x3_grouped_slide": "(item * params.in_height + y)"
            => "(y)"
    }
    "next_lines_swapped" StaleTile {
        "conv3x3_grouped_slide": "acc${r}_0 = next${r};"
            => "acc${r}_0 = last${r};"
    }
    "last_line_kept" StaleTile {
        "conv3x3_grouped_slide": "last${r} = vec4<f32>(0.0);\n//#end\n    }"
            => "//#end\n    }"
    }
    "same_pixel_for_every_tap" StaleTile {
        "conv3x3_grouped_slide": "mac(m${x}, v${r+x}, last"
            => "mac(m${x}, v${r}, last"
    }
    "weights_off_by_one" OffByOne { "conv3x3_grouped_slide": "w0 + 3u" => "w0 + 2u" }
    "kernel_upside_down" SwappedStride {
        "conv3x3_grouped_slide": "mac(m${6+x}, v${r+x}, acc"
            => "mac(m${x}, v${r+x}, acc"
    }
};
