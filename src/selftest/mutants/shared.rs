//! Faults in the parts that convolutions share: tile, stages, weights, epilogue.

/// Faults that the self test must catch in every convolution.
macro_rules! of_every_convolution {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "lost_bias" LostBias { "shared/epilogue": "acc${r}_${c} += bias${c};" => "" }
            "bias_of_next_column" OffByOne {
                "shared/epilogue": "params.k_quads, valid_column${c}"
                    => "params.k_quads, valid_column${c} + 1u"
            }
            "relu_before_bias" ReluOrder {
                "shared/epilogue": "    acc${r}_${c} += bias${c};"
                    => "//#if RELU\n    acc${r}_${c} = relu(acc${r}_${c});\n\
//#end\n    acc${r}_${c} += bias${c};"
            }
            "lost_relu" ReluOrder { "shared/epilogue": "relu(acc${r}_${c})" => "acc${r}_${c}" }
            "row_behind_the_end" OffByOne {
                "shared/epilogue": "if row${r} < row_end {" => "if row${r} <= row_end {"
            }
            "row_tail" MissingTail { "shared/epilogue": "if row${r} < row_end {" => "if true {" }
            "last_row_not_stored" OffByOne {
                "shared/epilogue": "if row${r} < row_end {" => "if row${r} + 1u < row_end {"
            }
            "column_tail" MissingTail {
                "shared/epilogue": "if column${c} < params.out_vec4 {"
                    => "if true {"
            }
            "padding_not_cleared" PaddingAsData {
                "shared/epilogue": "select(vec4<f32>(0.0), value${c}, keep${c})" => "value${c}"
            }
            "nan_swallowed" NanSwallowed {
                "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
                    => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
            }
        }
    };
}

/// Faults of kernels in which each invocation loads its own weights and rows.
macro_rules! of_every_register {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "weights_off_by_one" OffByOne { "shared/load_weights": "w${c} + 3u" => "w${c} + 2u" }
            "weights_by_input" SwappedStride {
                "shared/weights": "k4 * params.out_vec4"
                    => "k4 * params.in_vec4"
            }
            "weights_not_advanced" StaleTile { "shared/load_weights": "k4 += 1u;" => "" }
            "third_grid_dimension" WrongGroup {
                "shared/tile": "group.z * params.row_groups + group.y"
                    => "group.y"
            }
            "rows_overlap" OffByOne {
                "shared/tile": "params.rows) * ${ROWS}u"
                    => "params.rows) * (${ROWS}u - 1u)"
            }
        }
    };
}

/// Faults of kernels with several columns per invocation.
macro_rules! of_every_column {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "column_lanes" SwappedStride {
                "shared/columns": "${c*LANES}u + local.x"
                    => "${c}u + local.x"
            }
        }
    };
}

/// Faults of kernels that can add a residual.
macro_rules! of_every_residual {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "residual_of_next_row" WrongResidual {
                "shared/epilogue": "min(row${r}, params.rows - 1u)"
                    => "min(row${r} + 1u, params.rows - 1u)"
            }
            "residual_of_next_column" WrongResidual {
                "shared/epilogue": "residual[residual_at${r} + valid"
                    => "residual[residual_at${r} + 1u + valid"
            }
            "lost_residual" WrongResidual {
                "shared/epilogue":
                    "acc${r}_${c} += unpack(residual[residual_at${r} + valid_column${c}]);"
                        => ""
            }
            "relu_before_residual" ReluOrder {
                "shared/epilogue": "    acc${r}_${c} += unpack(residual"
                    => "//#if RELU\n    acc${r}_${c} = relu(acc${r}_${c});\n\
//#end\n    acc${r}_${c} += unpack(residual"
            }
        }
    };
}

/// Faults of kernels with two stages of a tile in workgroup memory.
macro_rules! of_every_stage {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "dropped_barrier" DroppedBarrier { "shared/staged_sums": "workgroupBarrier();" => "" }
            "stale_stage" StaleTile { "shared/staged_sums": "(step - 1u) % 2u" => "0u" }
            "one_stage_filled" StaleTile {
                "shared/staged_sums": "let stage = step % 2u;"
                    => "let stage = 0u;"
            }
            "rows_side_by_side" SwappedStride {
                "shared/staged_sums": "* TILE_ROWS + local.y"
                    => "* TILE_ROWS + local.x % ${SLICES}u"
            }
            "weights_off_by_one" OffByOne {
                "shared/staged": "3u * TILE_COLUMNS"
                    => "2u * TILE_COLUMNS"
            }
            "weights_by_input" SwappedStride {
                "shared/staged_weights": "params.out_vec4 * 4u"
                    => "params.in_vec4 * 4u"
            }
            "weights_of_next_quad" OffByOne {
                "shared/staged_weights": "first_k + min"
                    => "first_k + 1u + min"
            }
            "weights_of_first_columns" WrongGroup {
                "shared/staged_loads": "min(group.x * TILE_COLUMNS + weight_column${g}"
                    => "min(weight_column${g}"
            }
            "third_grid_dimension" WrongGroup {
                "shared/k_slice": "group.z * params.row_groups + group.y" => "group.y"
            }
            "rows_overlap" OffByOne {
                "shared/staged_tile": "params.rows) * TILE_ROWS"
                    => "params.rows) * (TILE_ROWS - 1u)"
            }
            "rows_of_other_slices" SwappedStride {
                "shared/staged_tile": "let row${r} = first_row + ${r*SLICES}u"
                    => "let row${r} = first_row + ${r}u"
            }
        }
    };
}

/// Faults of kernels that can sum slices of K separately.
macro_rules! of_every_split {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "slice_left_out" OffByOne {
                "shared/k_slice": "${K_SLICES}u - 1u"
                    => "${K_SLICES}u - 2u"
            }
            "slices_overlap" OffByOne {
                "shared/staged_steps": "let first_step = slice * steps / ${K_SLICES}u"
                    => "let first_step = max(slice * steps / ${K_SLICES}u, 1u) - 1u"
            }
            "last_stages_of_no_slice" MissingTail {
                "shared/staged_steps": "(slice + 1u) * steps / ${K_SLICES}u"
                    => "(slice + 1u) * (steps / ${K_SLICES}u)"
            }
            "slice_without_its_last_stage" OffByOne {
                "shared/staged_steps": "let end_step = (slice + 1u) * steps / ${K_SLICES}u"
                    => "let end_step = (slice + 1u) * steps / ${K_SLICES}u - 1u"
            }
            "every_slice_is_all_of_k" WrongGroup {
                "shared/staged_steps": "let first_step = slice * steps / ${K_SLICES}u"
                    => "let first_step = 0u"
            }
            "stored_over_the_first_slice" WrongGroup {
                "shared/k_slice": "slice * params.dst_plane"
                    => "0u"
            }
            "planes_of_the_input" SwappedStride {
                "shared/k_slice": "slice * params.dst_plane" => "slice * params.src_plane"
            }
            "planes_overlap" OffByOne {
                "shared/k_slice": "slice * params.dst_plane" => "slice * (params.dst_plane - 1u)"
            }
            "rows_of_the_first_slice" WrongGroup {
                "shared/k_slice": "tiles - slice * params.batch_tiles" => "tiles"
            }
            "slices_by_rows" SwappedStride {
                "shared/k_slice": "tiles / params.batch_tiles" => "tiles / params.rows"
            }
        }
    };
}

/// The same, for faults at the end of the texts of staged families.
macro_rules! of_every_staged_split {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "row_tail_of_slices" MissingTail {
                "shared/epilogue": "if row${r} < row_end {"
                    => "//#if SPLIT\n    if true {\n//#else\n    if row${r} < row_end {\n//#end"
            }
            "column_tail_of_slices" MissingTail {
                "shared/epilogue": "if column${c} < params.out_vec4 {"
                    => "//#if SPLIT\n        if true {\n\
//#else\n        if column${c} < params.out_vec4 {\n//#end"
            }
        }
    };
}

/// Faults of kernels that slide along an image row.
macro_rules! of_every_window {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "same_pixel_for_every_tap" StaleTile { "shared/window_sums": "v${p} = v${p+1};" => "" }
            "weights_off_by_one" OffByOne { "shared/window_sums": "w${c} + 3u" => "w${c} + 2u" }
            "weights_by_height" SwappedStride {
                "shared/weights": "k4 * params.out_vec4"
                    => "k4 * params.in_height"
            }
            "weights_of_first_tap" StaleTile {
                "shared/window_sums": "tap_k4 += params.group_in_vec4;"
                    => ""
            }
        }
    };
}

/// Faults of kernels with a variant for 64-bit words and textures, in lines of that variant only.
macro_rules! of_every_texture_form {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "word_halves_swapped" SwappedStride { "shared/words": "bits.yw" => "bits.wy" }
            "word_low_half_twice" StaleTile {
                "shared/words": "bitcast<f32>(high.x)"
                    => "bitcast<f32>(low.x)"
            }
            "texture_of_next_quad" OffByOne {
                "shared/weights": "vec2<u32>(at, k4)"
                    => "vec2<u32>(at, k4 + 1u)"
            }
            "texture_of_next_channel" OffByOne {
                "shared/weights": "vec2<u32>(at, k4)"
                    => "vec2<u32>(at ^ 1u, k4)"
            }
        }
    };
}

/// Faults of kernels that load rows by lane and broadcast them.
macro_rules! of_every_subgroup {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "broadcast_of_next_lane" StaleTile {
                "shared/broadcast_rows": "${r%LANES}u"
                    => "${r%LANES}u ^ 1u"
            }
            "broadcast_of_first_hand" StaleTile { "shared/broadcast_rows": "v${r/LANES}" => "v0" }
        }
    };
}

/// Faults of kernels with one output value per invocation. The default for the file's name is the
/// family's name.
macro_rules! of_every_value {
    ($family:ident, $file:literal) => {
        $crate::selftest::mutants::shared::of_every_value!($family, $file, $file)
    };
    ($family:ident, $prefix:literal, $file:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "value_behind_the_end" OffByOne { $file: "at >= params.vec4s" => "at > params.vec4s" }
            "tail" MissingTail { $file: "if at >= params.vec4s" => "if false" }
            "last_value_not_stored" OffByOne { $file: "at >= params.vec4s"
                => "at + 1u >= params.vec4s" }
            "second_grid_dimension" WrongGroup { $file: "(group.y * params.row_groups + group.x)"
                => "group.x" }
            "grid_transposed" SwappedStride {
                $file: "group.y * params.row_groups + group.x"
                    => "group.x * params.row_groups + group.y"
            }
            "workgroups_overlap" OffByOne { $file: "${LANES}u + local.x"
                => "(${LANES}u - 1u) + local.x" }
        }
    };
}

/// Faults of kernels with a `vec4` of channels per invocation.
macro_rules! of_every_channel {
    ($family:ident, $prefix:literal, $file:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "channels_behind_the_end" OffByOne {
                $file: "column >= params.vec4_per_pixel" => "column > params.vec4_per_pixel"
            }
            "tail" MissingTail { $file: "if column >= params.vec4_per_pixel" => "if false" }
            "last_channels_not_stored" OffByOne {
                $file: "column >= params.vec4_per_pixel" => "column + 1u >= params.vec4_per_pixel"
            }
            "workgroups_overlap" OffByOne { $file: "${LANES}u + local.x"
                => "(${LANES}u - 1u) + local.x" }
        }
    };
}

/// Faults of kernels whose grid may extend along y.
macro_rules! of_every_second_dimension {
    ($family:ident, $prefix:literal, $file:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "second_grid_dimension" WrongGroup { $file: "(group.y * params.row_groups + group.x)"
                => "group.x" }
            "grid_transposed" SwappedStride {
                $file: "group.y * params.row_groups + group.x"
                    => "group.x * params.row_groups + group.y"
            }
        }
    };
}

pub(super) use {
    of_every_channel, of_every_column, of_every_convolution, of_every_register, of_every_residual,
    of_every_second_dimension, of_every_split, of_every_stage, of_every_staged_split,
    of_every_subgroup, of_every_texture_form, of_every_value, of_every_window,
};
