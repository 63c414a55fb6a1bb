//! Mutants of the kernels for matrix units.

use super::shared::of_every_split;
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_matrix!(Conv1x1Matrix, "conv1x1_matrix"),
    of_every_split!(Conv1x1Matrix, "conv1x1_matrix"),
    of_every_matrix_split!(Conv1x1Matrix, "conv1x1_matrix"),
    of_every_matrix_residual!(Conv1x1Matrix, "conv1x1_matrix"),
    POINTS,
    of_every_matrix!(Conv3x3Matrix, "conv3x3_matrix"),
    of_every_split!(Conv3x3Matrix, "conv3x3_matrix"),
    of_every_matrix_split!(Conv3x3Matrix, "conv3x3_matrix"),
    of_every_matrix_residual!(Conv3x3Matrix, "conv3x3_matrix"),
    of_every_tap!(Conv3x3Matrix, "conv3x3_matrix"),
    of_every_matrix!(Conv3x3GroupedMatrix, "conv3x3_grouped_matrix"),
    of_every_matrix_residual!(Conv3x3GroupedMatrix, "conv3x3_grouped_matrix"),
    of_every_tap!(Conv3x3GroupedMatrix, "conv3x3_grouped_matrix"),
    GROUPED,
    of_every_matrix!(Conv1x1JoinedMatrix, "conv1x1_joined_matrix"),
    of_every_split!(Conv1x1JoinedMatrix, "conv1x1_joined_matrix"),
    of_every_matrix_split!(Conv1x1JoinedMatrix, "conv1x1_joined_matrix"),
    JOINED,
];

/// Faults that the self test must catch in each of these kernels.
macro_rules! of_every_matrix {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "lost_bias" LostBias {
                "shared/matrix_epilogue": "value += bias${c};"
                    => ""
            }
            "bias_of_next_column" OffByOne {
                "shared/matrix_epilogue": "min(column${c}, params.out_vec4 - 1u)"
                    => "min(column${c} + 1u, params.out_vec4 - 1u)"
            }
            "lost_relu" ReluOrder { "shared/matrix_epilogue": "value = relu(value);" => "" }
            "relu_before_bias" ReluOrder {
                "shared/matrix_epilogue": "        value += bias${c};"
                    => "//#if RELU\n        value = relu(value);\n\
//#end\n        value += bias${c};"
            }
            "row_tail" MissingTail {
                "shared/matrix_epilogue": "max(params.rows, lane_row) - lane_row"
                    => "params.rows"
            }
            "column_tail" MissingTail {
                "shared/matrix_epilogue": "select(0u, lane_rows, column${c} < params.out_vec4)"
                    => "lane_rows"
            }
            "last_row_not_stored" OffByOne {
                "shared/matrix_epilogue": "max(params.rows, lane_row) - lane_row"
                    => "max(params.rows - 1u, lane_row) - lane_row"
            }
            "padding_not_cleared" PaddingAsData {
                "shared/matrix_epilogue": "select(vec4<f32>(0.0), value, keep${c})" => "value"
            }
            "padding_of_the_first_column" PaddingAsData {
                "shared/matrix_epilogue": "in_group += group_step;" => ""
            }
            "nan_swallowed" NanSwallowed {
                "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
                    => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
            }
            "stage_of_the_step_before" StaleTile {
                "shared/matrix_steps": "let stage = (step - 1u) % 2u;" => "let stage = step % 2u;"
            }
            "dropped_barrier" DroppedBarrier { "shared/matrix_steps": "workgroupBarrier();" => "" }
            "third_grid_dimension" WrongGroup {
                "shared/k_slice": "group.z * params.row_groups + group.y" => "group.y"
            }
            "rows_of_the_first_subgroup" WrongGroup {
                "shared/matrix_tile": "subgroup / ${MATRIX_COLUMNS}u * ${ROWS*SIDE_OF_MATRIX}u"
                    => "0u"
            }
            "weights_of_next_channel" OffByOne {
                "shared/matrix_steps": "weight_quad${g} * 4u + weight_part${g})"
                    => "weight_quad${g} * 4u + (weight_part${g} + 1u) % 4u)"
            }
            "sums_of_first_column" StaleTile {
                "shared/matrix_steps": "b${q}_${c}, sum${r}_${c})" => "b${q}_${c}, sum${r}_0)"
            }
            "rows_overlap" OffByOne {
                "shared/matrix_tile": "params.rows) * TILE_ROWS"
                    => "params.rows) * (TILE_ROWS - 1u)"
            }
            "line_too_short" SwappedStride {
                "shared/matrix_steps": "], ROW_WORDS * UNIT)"
                    => "], (ROW_WORDS - 1u) * UNIT)"
            }
        }
    };
}

use of_every_matrix;

/// Faults of kernels that can sum slices of K separately, at the end of their texts.
macro_rules! of_every_matrix_split {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "first_slice_only" WrongGroup {
                "shared/matrix_epilogue": "dst_at + lane_row"
                    => "lane_row"
            }
            "row_tail_of_slices" MissingTail {
                "shared/matrix_epilogue":
                    "    let lane_rows = max(params.rows, lane_row) - lane_row;"
                    => "//#if SPLIT\n    let lane_rows = params.rows;\n\
//#else\n    let lane_rows = max(params.rows, lane_row) - lane_row;\n//#end"
            }
            "column_tail_of_slices" MissingTail {
                "shared/matrix_epilogue":
                    "    let rows${c} = select(0u, lane_rows, column${c} < params.out_vec4);"
                    => "//#if SPLIT\n    let rows${c} = lane_rows;\n\
//#else\n    let rows${c} = select(0u, lane_rows, column${c} < params.out_vec4);\n//#end"
            }
        }
    };
}

use of_every_matrix_split;

/// Faults of kernels that can add a residual.
macro_rules! of_every_matrix_residual {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "lost_residual" WrongResidual {
                "shared/matrix_epilogue": "value += unpack(residual[at]);"
                    => ""
            }
            "residual_of_next_value" WrongResidual {
                "shared/matrix_epilogue": "residual[at]"
                    => "residual[min(at + 1u, params.rows * params.out_vec4 - 1u)]"
            }
        }
    };
}

use of_every_matrix_residual;

/// Faults of kernels with nine taps.
macro_rules! of_every_tap {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "dilation_ignored_above" DilationIgnored {
                "shared/staged_tap": "tap / 3u * params.dilation" => "tap / 3u"
            }
            "padding_read" PaddingAsData {
                "shared/staged_keeps": " && a${h} != OUTSIDE" => ""
            }
            "right_edge" OffByOne {
                "shared/staged_tap": "right < params.in_width;"
                    => "right <= params.in_width;"
            }
        }
    };
}

use of_every_tap;

const POINTS: &[Mutant] = mutants! { Conv1x1Matrix, "conv1x1_matrix":
    "quad_tail" PaddingAsData {
        "conv1x1_matrix": "= quad < quads_left"
            => "= true"
    }
    "stride_lost" SwappedStride { "conv1x1_matrix": "pixel${h}.x * params.stride" => "pixel${h}.x" }
    "last_stage" MissingTail { "conv1x1_matrix": "/ ${DEPTH}u + 1u;" => "/ ${DEPTH}u;" }
};

const GROUPED: &[Mutant] = mutants! { Conv3x3GroupedMatrix, "conv3x3_grouped_matrix":
    "zeros_beside_groups" WrongGroup {
        "conv3x3_grouped_matrix": "= within${g} < params.group_in_vec4"
            => "= true"
    }
    "first_group_only" WrongGroup {
        "conv3x3_grouped_matrix": "let first_in = first_column / span * span;"
            => "let first_in = 0u;"
    }
    "stride_lost" SwappedStride {
        "conv3x3_grouped_matrix": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
};

const JOINED: &[Mutant] = mutants! { Conv1x1JoinedMatrix, "conv1x1_joined_matrix":
    "quad_tail" PaddingAsData {
        "conv1x1_joined_matrix": "= quad < quads_left"
            => "= true"
    }
    "shortcut_of_the_main_branch" WrongResidual {
        "conv1x1_joined_matrix": "shortcut[b${h} + own_k]"
            => "src[a${h} + min(own_k, params.in_vec4 - 1u)]"
    }
    "stride_lost" SwappedStride {
        "conv1x1_joined_matrix": "pixel${h}.y * params.stride"
            => "pixel${h}.y"
    }
};
