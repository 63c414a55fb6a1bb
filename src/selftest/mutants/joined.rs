//! Mutants of the third convolution joined with the downsample.

use super::shared::{
    of_every_column, of_every_convolution, of_every_register, of_every_split, of_every_stage,
    of_every_staged_split, of_every_subgroup, of_every_texture_form,
};
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_convolution!(Conv1x1Joined, "conv1x1_joined"),
    of_every_register!(Conv1x1Joined, "conv1x1_joined"),
    of_every_column!(Conv1x1Joined, "conv1x1_joined"),
    PLAIN,
    of_every_convolution!(Conv1x1JoinedStaged, "conv1x1_joined_staged"),
    of_every_column!(Conv1x1JoinedStaged, "conv1x1_joined_staged"),
    of_every_stage!(Conv1x1JoinedStaged, "conv1x1_joined_staged"),
    of_every_split!(Conv1x1JoinedStaged, "conv1x1_joined_staged"),
    of_every_staged_split!(Conv1x1JoinedStaged, "conv1x1_joined_staged"),
    STAGED,
    of_every_convolution!(Conv1x1JoinedSubgroup, "conv1x1_joined_subgroup"),
    of_every_register!(Conv1x1JoinedSubgroup, "conv1x1_joined_subgroup"),
    of_every_column!(Conv1x1JoinedSubgroup, "conv1x1_joined_subgroup"),
    of_every_subgroup!(Conv1x1JoinedSubgroup, "conv1x1_joined_subgroup"),
    of_every_texture_form!(Conv1x1JoinedSubgroup, "conv1x1_joined_subgroup"),
    SUBGROUP,
];

const PLAIN: &[Mutant] = mutants! { Conv1x1Joined, "conv1x1_joined":
    "last_channels" OffByOne {
        "conv1x1_joined": "k < params.in_vec4;"
            => "k + 1u < params.in_vec4;"
    }
    "last_shortcut_channels" OffByOne {
        "conv1x1_joined": "k < params.shortcut_vec4;" => "k + 1u < params.shortcut_vec4;"
    }
    "shortcut_of_the_main_branch" WrongResidual {
        "conv1x1_joined": "shortcut[b${r} + k]"
            => "src[b${r} + k]"
    }
    "shortcut_of_next_row" WrongResidual {
        "conv1x1_joined": "shortcut[b${r} + k]" => "shortcut[b${r} + params.shortcut_vec4 + k]"
    }
    "shortcut_by_main" SwappedStride {
        "conv1x1_joined": "params.stride) * params.shortcut_vec4"
            => "params.stride) * params.in_vec4"
    }
    "rows_by_output" SwappedStride {
        "conv1x1_joined": "params.rows - 1u) * params.in_vec4"
            => "params.rows - 1u) * params.out_vec4"
    }
    "output_width" SwappedStride { "conv1x1_joined": "* params.in_width" => "* params.out_width" }
    "output_height" SwappedStride {
        "conv1x1_joined": "* params.in_height"
            => "* params.out_height"
    }
    "stride_lost_in_x" SwappedStride { "conv1x1_joined": "pixel.x * params.stride" => "pixel.x" }
    "stride_lost_in_y" SwappedStride { "conv1x1_joined": "pixel.y * params.stride" => "pixel.y" }
    "same_pixel_for_every_row" StaleTile { "conv1x1_joined": "pixel = next_pixel(pixel);" => "" }
    "image_never_ends" StaleTile {
        "shared/pixels":
            "select(pixel.item, min(pixel.item + 1u, params.items - 1u), item_ends)"
                => "pixel.item"
    }
};

const STAGED: &[Mutant] = mutants! { Conv1x1JoinedStaged, "conv1x1_joined_staged":
    "last_stage_not_summed" StaleTile {
        "conv1x1_joined_staged": "step <= end_step"
            => "step < end_step"
    }
    "last_stage_of_the_shortcut" MissingTail {
        "conv1x1_joined_staged": "(params.shortcut_vec4 - 1u) / ${DEPTH}u + 1u"
            => "(params.shortcut_vec4 - 1u) / ${DEPTH}u"
    }
    "channels_behind_the_last" PaddingAsData {
        "conv1x1_joined_staged": "= quad < quads_left" => "= true"
    }
    "shortcut_with_main_weights" WrongGroup {
        "conv1x1_joined_staged": "select(params.in_vec4, 0u, is_main)" => "0u"
    }
    "shortcut_as_long_as_main" SwappedStride {
        "conv1x1_joined_staged": "select(params.shortcut_vec4, params.in_vec4, is_main)"
            => "params.in_vec4"
    }
    "shortcut_of_the_main_branch" WrongResidual {
        "conv1x1_joined_staged": "shortcut[b${h}"
            => "src[b${h}"
    }
    "shortcut_by_main" SwappedStride {
        "conv1x1_joined_staged": "params.stride) * params.shortcut_vec4"
            => "params.stride) * params.in_vec4"
    }
    "output_width" SwappedStride {
        "conv1x1_joined_staged": "* params.in_width"
            => "* params.out_width"
    }
    "stride_lost_in_x" SwappedStride {
        "conv1x1_joined_staged": "pixel${h}.x * params.stride"
            => "pixel${h}.x"
    }
    "stride_lost_in_y" SwappedStride {
        "conv1x1_joined_staged": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
};

const SUBGROUP: &[Mutant] = mutants! { Conv1x1JoinedSubgroup, "conv1x1_joined_subgroup":
    "last_channels" OffByOne {
        "conv1x1_joined_subgroup": "k < params.in_vec4;"
            => "k + 1u < params.in_vec4;"
    }
    "last_shortcut_channels" OffByOne {
        "conv1x1_joined_subgroup": "k < params.shortcut_vec4;" => "k + 1u < params.shortcut_vec4;"
    }
    "shortcut_of_the_main_branch" WrongResidual {
        "conv1x1_joined_subgroup": "shortcut[b${h} + k]" => "src[b${h} + k]"
    }
    "shortcut_of_next_row" WrongResidual {
        "conv1x1_joined_subgroup": "shortcut[b${h} + k]"
            => "shortcut[b${h} + params.shortcut_vec4 + k]"
    }
    "shortcut_by_main" SwappedStride {
        "conv1x1_joined_subgroup": "params.stride) * params.shortcut_vec4"
            => "params.stride) * params.in_vec4"
    }
    "rows_by_output" SwappedStride {
        "conv1x1_joined_subgroup": "own${h} * params.in_vec4" => "own${h} * params.out_vec4"
    }
    "output_width" SwappedStride {
        "conv1x1_joined_subgroup": "* params.in_width"
            => "* params.out_width"
    }
    "output_height" SwappedStride {
        "conv1x1_joined_subgroup": "* params.in_height"
            => "* params.out_height"
    }
    "stride_lost_in_x" SwappedStride {
        "conv1x1_joined_subgroup": "pixel${h}.x * params.stride"
            => "pixel${h}.x"
    }
    "stride_lost_in_y" SwappedStride {
        "conv1x1_joined_subgroup": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
    "same_row_for_every_lane" StaleTile {
        "conv1x1_joined_subgroup": "+ lane, params.rows"
            => ", params.rows"
    }
    "hands_overlap" SwappedStride {
        "conv1x1_joined_subgroup": "${h}u * ${LANES}u + lane, "
            => "${h}u + lane, "
    }
};
