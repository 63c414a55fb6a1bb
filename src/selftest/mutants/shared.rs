//! Faults in the parts that the convolutions share: tile, weights, epilogue.

/// The faults that every convolution must be caught with.
macro_rules! of_every_convolution {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "lost_bias" LostBias { "shared/epilogue": "value += bias${c};" => "" }
            "bias_of_next_column" OffByOne {
                "shared/epilogue": "weights[params.bias_at + column${c}]" => "weights[params.bias_at + column${c} + 1u]"
            }
            "relu_before_bias" ReluOrder {
                "shared/epilogue": "            value += bias${c};"
                    => "//#if RELU\n            value = relu(value);\n//#end\n            value += bias${c};"
            }
            "lost_relu" ReluOrder { "shared/epilogue": "value = relu(value);" => "" }
            "row_behind_the_end" OffByOne {
                "shared/epilogue": "if first_row + ${r}u < params.rows {" => "if first_row + ${r}u <= params.rows {"
            }
            "row_tail" MissingTail { "shared/epilogue": "if first_row + ${r}u < params.rows {" => "if true {" }
            "last_row_not_stored" OffByOne {
                "shared/epilogue": "if first_row + ${r}u < params.rows {" => "if first_row + ${r}u + 1u < params.rows {"
            }
            "column_tail" MissingTail { "shared/epilogue": "if column${c} < params.out_vec4 {" => "if true {" }
            "padding_not_cleared" PaddingAsData {
                "shared/epilogue": "select(vec4<f32>(0.0), value, keep${c})" => "value"
            }
            "nan_swallowed" NanSwallowed {
                "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
                    => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
            }
            "weights_off_by_one" OffByOne { "shared/load_weights": "weights[w${c} + 3u]" => "weights[w${c} + 2u]" }
            "weights_by_input" SwappedStride { "shared/load_weights": "params.out_vec4 * 4u" => "params.in_vec4 * 4u" }
            "weights_not_advanced" StaleTile { "shared/load_weights": "w${c} += params.out_vec4 * 4u;" => "" }
            "third_grid_dimension" WrongGroup { "shared/tile": "group.z * params.row_groups + group.y" => "group.y" }
            "rows_overlap" OffByOne { "shared/tile": "params.rows) * ${ROWS}u" => "params.rows) * (${ROWS}u - 1u)" }
        }
    };
}

/// The faults of those with several columns a lane.
macro_rules! of_every_column {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "column_lanes" SwappedStride { "shared/tile": "${c}u * ${LANES}u + local.x" => "${c}u + local.x" }
        }
    };
}

/// The faults of those that can add a residual.
macro_rules! of_every_residual {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "residual_of_next_row" WrongResidual {
                "shared/epilogue": "residual[at]" => "residual[at + params.out_vec4]"
            }
            "lost_residual" WrongResidual { "shared/epilogue": "value += residual[at];" => "" }
            "relu_before_residual" ReluOrder {
                "shared/epilogue": "            value += residual[at];"
                    => "//#if RELU\n            value = relu(value);\n//#end\n            value += residual[at];"
            }
        }
    };
}

/// The faults of those that load rows by lane and broadcast them.
macro_rules! of_every_subgroup {
    ($family:ident, $prefix:literal) => {
        $crate::selftest::mutants::mutants! { $family, $prefix:
            "broadcast_of_next_lane" StaleTile { "shared/broadcast_rows": "${r%LANES}u" => "${r%LANES}u ^ 1u" }
            "broadcast_of_first_hand" StaleTile { "shared/broadcast_rows": "v${r/LANES}" => "v0" }
        }
    };
}

pub(super) use {of_every_column, of_every_convolution, of_every_residual, of_every_subgroup};
