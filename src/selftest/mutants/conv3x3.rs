//! Mutants of the 3x3 and 7x7 convolutions.

use super::shared::{
    of_every_column, of_every_convolution, of_every_register, of_every_residual, of_every_split,
    of_every_stage, of_every_staged_split, of_every_subgroup, of_every_texture_form,
};
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_convolution!(Conv3x3, "conv3x3"),
    of_every_register!(Conv3x3, "conv3x3"),
    of_every_column!(Conv3x3, "conv3x3"),
    of_every_residual!(Conv3x3, "conv3x3"),
    of_the_file!(Conv3x3, "conv3x3"),
    of_every_convolution!(Conv7x7, "conv7x7"),
    of_every_register!(Conv7x7, "conv7x7"),
    of_every_column!(Conv7x7, "conv7x7"),
    of_the_file!(Conv7x7, "conv7x7"),
    of_every_convolution!(Conv3x3Grouped, "conv3x3_grouped"),
    of_every_register!(Conv3x3Grouped, "conv3x3_grouped"),
    of_every_residual!(Conv3x3Grouped, "conv3x3_grouped"),
    of_the_file!(Conv3x3Grouped, "conv3x3_grouped"),
    GROUPED,
    of_every_convolution!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_every_register!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_every_column!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_every_residual!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_every_subgroup!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_every_texture_form!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_the_subgroup_file!(Conv3x3Subgroup, "conv3x3_subgroup"),
    of_every_convolution!(Conv7x7Subgroup, "conv7x7_subgroup"),
    of_every_register!(Conv7x7Subgroup, "conv7x7_subgroup"),
    of_every_column!(Conv7x7Subgroup, "conv7x7_subgroup"),
    of_every_subgroup!(Conv7x7Subgroup, "conv7x7_subgroup"),
    of_every_texture_form!(Conv7x7Subgroup, "conv7x7_subgroup"),
    of_the_subgroup_file!(Conv7x7Subgroup, "conv7x7_subgroup"),
    of_every_convolution!(Conv3x3Staged, "conv3x3_staged"),
    of_every_column!(Conv3x3Staged, "conv3x3_staged"),
    of_every_residual!(Conv3x3Staged, "conv3x3_staged"),
    of_every_stage!(Conv3x3Staged, "conv3x3_staged"),
    of_every_split!(Conv3x3Staged, "conv3x3_staged"),
    of_every_staged_split!(Conv3x3Staged, "conv3x3_staged"),
    STAGED,
];

/// Faults of `conv3x3.wgsl`, which two families use.
macro_rules! of_the_file {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "dilation_ignored_on_the_left" DilationIgnored {
                "conv3x3": "tap_x * params.dilation - params.dilation"
                    => "tap_x * params.dilation - 1u"
            }
            "dilation_ignored_above" DilationIgnored {
                "conv3x3": "tap_y * params.dilation - params.dilation"
                    => "tap_y * params.dilation - 1u"
            }
            "sides_not_checked" MissingTail {
                "conv3x3": "y${r} < params.in_height && x${r} < params.in_width"
                    => "y${r} < params.in_height"
            }
            "top_and_bottom_not_checked" MissingTail {
                "conv3x3": "y${r} < params.in_height && x${r} < params.in_width"
                    => "x${r} < params.in_width"
            }
            "right_edge" OffByOne {
                "conv3x3": "&& x${r} < params.in_width"
                    => "&& x${r} <= params.in_width"
            }
            "bottom_edge" OffByOne {
                "conv3x3": "y${r} < params.in_height &&"
                    => "y${r} <= params.in_height &&"
            }
            "padding_read" PaddingAsData {
                "conv3x3": "select(vec4<f32>(0.0), unpack(src[a${r} + k]), mask${r})"
                    => "unpack(src[a${r} + k])"
            }
            "taps_transposed" SwappedStride {
                "conv3x3": "let down = tap_y" => "let down = tap_x", "conv3x3": "let right = tap_x"
                    => "let right = tap_y"
            }
            "stride_lost_in_y" SwappedStride { "conv3x3": "pixel.y * params.stride" => "pixel.y" }
            "stride_lost_in_x" SwappedStride { "conv3x3": "pixel.x * params.stride" => "pixel.x" }
            "first_image_only" WrongGroup { "conv3x3": "((item${r} + y${r})" => "((y${r})" }
            "output_width" SwappedStride {
                "conv3x3": "* params.in_width + x${r}"
                    => "* params.out_width + x${r}"
            }
            "last_tap" OffByOne { "conv3x3": "tap_x < ${SIDE}u" => "tap_x < ${SIDE}u - 1u" }
            "last_channels" OffByOne {
                "conv3x3": "k < params.group_in_vec4"
                    => "k + 1u < params.group_in_vec4"
            }
            "same_pixel_for_every_row" StaleTile { "conv3x3": "pixel = next_pixel(pixel);" => "" }
        }
    };
}

use of_the_file;

/// Faults of `conv3x3_subgroup.wgsl`, which two families use.
macro_rules! of_the_subgroup_file {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "dilation_ignored_on_the_left" DilationIgnored {
                "conv3x3_subgroup": "tap_x * params.dilation - params.dilation"
                    => "tap_x * params.dilation - 1u"
            }
            "dilation_ignored_above" DilationIgnored {
                "conv3x3_subgroup": "tap_y * params.dilation - params.dilation"
                    => "tap_y * params.dilation - 1u"
            }
            "sides_not_checked" MissingTail {
                "conv3x3_subgroup": "y${h} < params.in_height && z${h} < params.in_width"
                    => "y${h} < params.in_height"
            }
            "right_edge" OffByOne {
                "conv3x3_subgroup": "&& z${h} < params.in_width"
                    => "&& z${h} <= params.in_width"
            }
            "padding_read" PaddingAsData {
                "conv3x3_subgroup": "select(vec4<f32>(0.0), unpack(src[a${h} + k]), mask${h})"
                    => "unpack(src[a${h} + k])"
            }
            "taps_transposed" SwappedStride {
                "conv3x3_subgroup": "let down = tap_y" => "let down = tap_x",
                "conv3x3_subgroup": "let right = tap_x" => "let right = tap_y",
            }
            "stride_lost_in_y" SwappedStride {
                "conv3x3_subgroup": "pixel${h}.y * params.stride"
                    => "pixel${h}.y"
            }
            "first_image_only" WrongGroup {
                "conv3x3_subgroup": "((item${h} + y${h})"
                    => "((y${h})"
            }
            "output_width" SwappedStride {
                "conv3x3_subgroup": "* params.in_width + z${h}" => "* params.out_width + z${h}"
            }
            "last_tap" OffByOne {
                "conv3x3_subgroup": "tap_x < ${SIDE}u"
                    => "tap_x < ${SIDE}u - 1u"
            }
            "last_channels" OffByOne {
                "conv3x3_subgroup": "k < params.in_vec4"
                    => "k + 1u < params.in_vec4"
            }
            "same_row_for_every_lane" StaleTile {
                "conv3x3_subgroup": "+ lane, params.rows"
                    => ", params.rows"
            }
            "hands_overlap" SwappedStride {
                "conv3x3_subgroup": "${h}u * ${LANES}u + lane, "
                    => "${h}u + lane, "
            }
        }
    };
}

use of_the_subgroup_file;

const GROUPED: &[Mutant] = mutants! { Conv3x3Grouped, "conv3x3_grouped":
    "groups_by_output" WrongGroup {
        "conv3x3": "/ params.group_out_vec4 * params.group_in_vec4"
            => "/ params.group_out_vec4 * params.group_out_vec4"
    }
    "groups_by_input" WrongGroup {
        "conv3x3": "/ params.group_out_vec4 * params.group_in_vec4"
            => "/ params.group_in_vec4 * params.group_in_vec4"
    }
    "group_of_next_column" OffByOne {
        "conv3x3": "min(column0, params.out_vec4"
            => "min(column0 + 1u, params.out_vec4"
    }
    "first_group_only" WrongGroup { "conv3x3": "inside${r}) + group_at" => "inside${r})" }
    "padding_of_the_first_group" PaddingAsData {
        "shared/epilogue": "in_group${c} %= params.group_out_vec4;" => ""
    }
    "every_group_summed" WrongGroup {
        "conv3x3": "k < params.group_in_vec4"
            => "k < params.in_vec4"
    }
};

const STAGED: &[Mutant] = mutants! { Conv3x3Staged, "conv3x3_staged":
    "dilation_ignored_on_the_left" DilationIgnored {
        "shared/staged_tap": "tap % 3u * params.dilation - params.dilation"
            => "tap % 3u * params.dilation - 1u"
    }
    "dilation_ignored_above" DilationIgnored {
        "shared/staged_tap": "tap / 3u * params.dilation - params.dilation"
            => "tap / 3u * params.dilation - 1u"
    }
    "sides_not_checked" MissingTail {
        "shared/staged_tap": " && left${h} + right < params.in_width;"
            => ";"
    }
    "right_edge" OffByOne {
        "shared/staged_tap": "right < params.in_width"
            => "right <= params.in_width"
    }
    "padding_read" PaddingAsData {
        "shared/staged_keeps": " && a${h} != OUTSIDE"
            => ""
    }
    "channels_behind_the_last" PaddingAsData {
        "shared/staged_keeps": "quad < left && " => ""
    }
    "taps_transposed" SwappedStride {
        "shared/staged_tap": "let down = tap / 3u" => "let down = tap % 3u",
        "shared/staged_tap": "let right = tap % 3u" => "let right = tap / 3u",
    }
    "first_image_only" WrongGroup {
        "conv3x3_staged": "(pixel${h}.item * params.in_height + top${h})"
            => "top${h}"
    }
    "output_width" SwappedStride {
        "shared/staged_tap": "down * params.in_width"
            => "down * params.out_width"
    }
    "stride_lost_in_y" SwappedStride {
        "conv3x3_staged": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
    "last_tap" OffByOne { "conv3x3_staged": "9u * tap_steps" => "8u * tap_steps" }
    "last_stage_not_summed" StaleTile { "conv3x3_staged": "step <= end_step" => "step < end_step" }
};
