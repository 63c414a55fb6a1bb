//! Mutants of the 1x1 convolutions.

use super::shared::{
    of_every_column, of_every_convolution, of_every_register, of_every_residual, of_every_split,
    of_every_stage, of_every_staged_split, of_every_subgroup, of_every_texture_form,
};
use super::{Fault, Mutant, mutants};
use crate::kernel::Family;
use crate::shader::Patch;

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_convolution!(Conv1x1, "conv1x1"),
    of_every_register!(Conv1x1, "conv1x1"),
    of_every_column!(Conv1x1, "conv1x1"),
    of_every_residual!(Conv1x1, "conv1x1"),
    PLAIN,
    EQUIVALENT,
    of_every_convolution!(Conv1x1Staged, "conv1x1_staged"),
    of_every_column!(Conv1x1Staged, "conv1x1_staged"),
    of_every_residual!(Conv1x1Staged, "conv1x1_staged"),
    of_every_stage!(Conv1x1Staged, "conv1x1_staged"),
    of_every_split!(Conv1x1Staged, "conv1x1_staged"),
    of_every_staged_split!(Conv1x1Staged, "conv1x1_staged"),
    STAGED,
    of_every_convolution!(Conv1x1Subgroup, "conv1x1_subgroup"),
    of_every_register!(Conv1x1Subgroup, "conv1x1_subgroup"),
    of_every_column!(Conv1x1Subgroup, "conv1x1_subgroup"),
    of_every_residual!(Conv1x1Subgroup, "conv1x1_subgroup"),
    of_every_subgroup!(Conv1x1Subgroup, "conv1x1_subgroup"),
    of_every_texture_form!(Conv1x1Subgroup, "conv1x1_subgroup"),
    SUBGROUP,
];

const PLAIN: &[Mutant] = mutants! { Conv1x1, "conv1x1":
    "last_channels" OffByOne { "conv1x1": "k < params.in_vec4;" => "k + 1u < params.in_vec4;" }
    "next_channels" OffByOne { "conv1x1": "src[a${r} + k]" => "src[a${r} + k + 1u]" }
    "rows_by_output" SwappedStride {
        "conv1x1": "params.rows - 1u) * params.in_vec4" => "params.rows - 1u) * params.out_vec4"
    }
    "last_row_clamped" OffByOne {
        "conv1x1": "min(first_row + ${r}u, params.rows - 1u)"
            => "min(first_row + ${r}u, params.rows - 2u)"
    }
    "output_width" SwappedStride { "conv1x1": "* params.in_width" => "* params.out_width" }
    "output_height" SwappedStride { "conv1x1": "* params.in_height" => "* params.out_height" }
    "stride_lost_in_x" SwappedStride { "conv1x1": "pixel.x * params.stride" => "pixel.x" }
    "stride_lost_in_y" SwappedStride { "conv1x1": "pixel.y * params.stride" => "pixel.y" }
    "same_pixel_for_every_row" StaleTile { "conv1x1": "pixel = next_pixel(pixel);" => "" }
    "image_never_ends" StaleTile {
        "shared/pixels":
            "select(pixel.item, min(pixel.item + 1u, params.items - 1u), item_ends)"
                => "pixel.item"
    }
    "line_ends_late" OffByOne {
        "shared/pixels": "pixel.x + 1u == params.out_width"
            => "pixel.x == params.out_width"
    }
    "last_term_twice" OffByOne { "shared/mac": "x.w" => "x.z" }
};

/// Faults without an effect that a test can detect.
const EQUIVALENT: &[Mutant] = &[
    Mutant {
        name: "conv1x1.tile_not_clamped",
        family: Family::Conv1x1,
        fault: Fault::MissingTail,
        patches: &[Patch::new("shared/tile", "min(tile, params.rows)", "tile")],
        equivalent: Some(
            "the clamp keeps row numbers from wrapping, which takes 2^32 rows: more than a \
                binding holds",
        ),
    },
    Mutant {
        name: "conv1x1.column_not_clamped",
        family: Family::Conv1x1,
        fault: Fault::MissingTail,
        patches: &[Patch::new(
            "shared/columns",
            "min(column${c}, params.out_vec4 - 1u)",
            "column${c}",
        )],
        equivalent: Some(
            "columns after the end are not stored; what they read is bound by the runtime checks \
                that mutants run with",
        ),
    },
];

const STAGED: &[Mutant] = mutants! { Conv1x1Staged, "conv1x1_staged":
    "last_stage_not_summed" StaleTile { "conv1x1_staged": "step <= end_step" => "step < end_step" }
    "last_stage_of_channels" MissingTail { "conv1x1_staged": "/ ${DEPTH}u + 1u" => "/ ${DEPTH}u" }
    "channels_behind_the_last" PaddingAsData {
        "conv1x1_staged": "= quad < quads_left"
            => "= true"
    }
    "last_channels" OffByOne {
        "conv1x1_staged": "= quad < quads_left"
            => "= quad + 1u < quads_left"
    }
    "rows_by_output" SwappedStride {
        "conv1x1_staged": "own${h} * params.in_vec4"
            => "own${h} * params.out_vec4"
    }
    "output_width" SwappedStride { "conv1x1_staged": "* params.in_width" => "* params.out_width" }
    "output_height" SwappedStride {
        "conv1x1_staged": "* params.in_height"
            => "* params.out_height"
    }
    "stride_lost_in_x" SwappedStride {
        "conv1x1_staged": "pixel${h}.x * params.stride"
            => "pixel${h}.x"
    }
    "stride_lost_in_y" SwappedStride {
        "conv1x1_staged": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
};

const SUBGROUP: &[Mutant] = mutants! { Conv1x1Subgroup, "conv1x1_subgroup":
    "last_channels" OffByOne {
        "conv1x1_subgroup": "k < params.in_vec4;"
            => "k + 1u < params.in_vec4;"
    }
    "next_channels" OffByOne { "conv1x1_subgroup": "src[a${h} + k]" => "src[a${h} + k + 1u]" }
    "same_row_for_every_lane" StaleTile {
        "conv1x1_subgroup": "+ lane, params.rows"
            => ", params.rows"
    }
    "hands_overlap" SwappedStride {
        "conv1x1_subgroup": "${h}u * ${LANES}u + lane, "
            => "${h}u + lane, "
    }
    "last_row_clamped" OffByOne {
        "conv1x1_subgroup": "lane, params.rows - 1u)"
            => "lane, params.rows - 2u)"
    }
    "rows_by_output" SwappedStride {
        "conv1x1_subgroup": "own${h} * params.in_vec4"
            => "own${h} * params.out_vec4"
    }
    "output_width" SwappedStride { "conv1x1_subgroup": "* params.in_width" => "* params.out_width" }
    "output_height" SwappedStride {
        "conv1x1_subgroup": "* params.in_height"
            => "* params.out_height"
    }
    "stride_lost_in_x" SwappedStride {
        "conv1x1_subgroup": "pixel${h}.x * params.stride"
            => "pixel${h}.x"
    }
    "stride_lost_in_y" SwappedStride {
        "conv1x1_subgroup": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
};
