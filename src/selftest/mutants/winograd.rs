//! Mutants of Winograd's convolution: its products and its two transforms.

use super::shared::{of_every_column, of_every_subgroup, of_every_texture_form};
use super::{Mutant, mutants};

/// Faults of a batch of products.
macro_rules! of_every_product {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "weights_off_by_one" OffByOne { "shared/load_weights": "w${c} + 3u" => "w${c} + 2u" }
            "weights_not_advanced" StaleTile { "shared/load_weights": "k4 += 1u;" => "" }
            "weights_of_the_first_product" WrongGroup {
                "shared/columns": "product * params.k_quads"
                    => "0u"
            }
            "weights_of_the_next_product" OffByOne {
                "shared/columns": "product * params.k_quads"
                    => "min(product + 1u, params.items - 1u) * params.k_quads"
            }
            "last_product_left_out" OffByOne {
                "shared/tile": "params.batch_tiles, params.items - 1u"
                    => "params.batch_tiles, params.items - 2u"
            }
            "rows_of_the_first_product" WrongGroup {
                "shared/tile": "product * params.src_plane"
                    => "0u"
            }
            "stored_over_the_first_product" WrongGroup {
                "shared/tile": "product * params.dst_plane"
                    => "0u"
            }
            "planes_of_the_input" SwappedStride {
                "shared/tile": "product * params.dst_plane"
                    => "product * params.src_plane"
            }
            "tiles_of_the_first_product" WrongGroup {
                "shared/tile": "(tiles - product * params.batch_tiles)" => "tiles"
            }
            "products_by_rows" SwappedStride {
                "shared/tile": "tiles / params.batch_tiles"
                    => "tiles / params.rows"
            }
            "third_dimension_of_products" WrongGroup {
                "shared/tile": "let tiles = group.z * params.row_groups + group.y"
                    => "let tiles = group.y"
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
                "shared/mac": "fma(m[0], vec4<f32>(x.x), acc)"
                    => "fma(m[0], max(vec4<f32>(x.x), vec4<f32>(-1e6)), acc)"
            }
        }
    };
}

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_product!(Conv3x3Winograd, "conv3x3_winograd"),
    of_every_column!(Conv3x3Winograd, "conv3x3_winograd"),
    PLAIN,
    of_every_product!(Conv3x3WinogradSubgroup, "conv3x3_winograd_subgroup"),
    of_every_column!(Conv3x3WinogradSubgroup, "conv3x3_winograd_subgroup"),
    of_every_subgroup!(Conv3x3WinogradSubgroup, "conv3x3_winograd_subgroup"),
    of_every_texture_form!(Conv3x3WinogradSubgroup, "conv3x3_winograd_subgroup"),
    SUBGROUP,
    INPUT,
    OUTPUT,
];

const PLAIN: &[Mutant] = mutants! { Conv3x3Winograd, "conv3x3_winograd":
    "last_channels" OffByOne { "conv1x1": "k < params.in_vec4;" => "k + 1u < params.in_vec4;" }
    "next_channels" OffByOne { "conv1x1": "src[a${r} + k]" => "src[a${r} + k + 1u]" }
};

const SUBGROUP: &[Mutant] = mutants! { Conv3x3WinogradSubgroup, "conv3x3_winograd_subgroup":
    "last_channels" OffByOne {
        "conv1x1_subgroup": "k < params.in_vec4;"
            => "k + 1u < params.in_vec4;"
    }
    "same_row_for_every_lane" StaleTile {
        "conv1x1_subgroup": "+ lane, params.rows"
            => ", params.rows"
    }
};

const INPUT: &[Mutant] = mutants! { WinogradInput, "winograd_input":
    "word_behind_the_end" OffByOne { "winograd_input": "at >= params.words" => "at > params.words" }
    "last_word_left_out" OffByOne {
        "winograd_input": "at >= params.words"
            => "at + 1u >= params.words"
    }
    "second_grid_dimension" WrongGroup {
        "winograd_input": "(group.y * params.row_groups + group.x)"
            => "group.x"
    }
    "planes_overlap" OffByOne { "winograd_input": "u * params.plane" => "u * (params.plane - 1u)" }
    "dilation_ignored_above" DilationIgnored {
        "winograd_input": "let y${i} = tile.y + ${i}u * params.dilation - params.dilation"
            => "let y${i} = tile.y + ${i}u * params.dilation - 1u"
    }
    "dilation_ignored_on_the_right" DilationIgnored {
        "winograd_input": "tile.x + ${j}u * params.dilation" => "tile.x + ${j}u"
    }
    "dilation_ignored_between_tiles" DilationIgnored {
        "shared/winograd": "let step = ${OUTPUTS}u * params.dilation" => "let step = ${OUTPUTS}u"
    }
    "first_phase_only" DilationIgnored {
        "shared/winograd": "let x = phase - phase_line * params.phase_columns" => "let x = 0u"
    }
    "phases_transposed" SwappedStride {
        "shared/winograd": "let phase_line = phase / params.phase_columns"
            => "let phase_line = phase / params.phase_lines"
    }
    "first_image_only" WrongGroup {
        "shared/winograd": "let item = phase_line / params.phase_lines"
            => "let item = 0u"
    }
    "tiles_overlap" OffByOne {
        "shared/winograd": "let step = ${OUTPUTS}u * params"
            => "let step = (${OUTPUTS}u - 1u) * params"
    }
    "sides_not_checked" MissingTail {
        "winograd_input": "y${i} < params.height && x${j} < params.width" => "y${i} < params.height"
    }
    "bottom_edge" OffByOne {
        "winograd_input": "y${i} < params.height &&"
            => "y${i} <= params.height &&"
    }
    "padding_read" PaddingAsData {
        "winograd_input": "select(Values(0.0), unpack(src[from${i}_${j}]), inside${i}_${j})"
            => "unpack(src[from${i}_${j}])"
    }
    "positions_transposed" SwappedStride {
        "winograd_input": "${i*INPUTS+j}u * params"
            => "${j*INPUTS+i}u * params"
    }
    "sign_of_f2x2" StaleTile { "winograd_input": "d2 - d1, d1 - d3" => "d1 - d2, d1 - d3" }
    "term_of_f4x4" StaleTile { "winograd_input": "d4 - 0.390625 * d2" => "d4 - 0.390625 * d3" }
    "nan_swallowed" NanSwallowed {
        "winograd_input": "unpack(src[from${i}_${j}])"
            => "max(unpack(src[from${i}_${j}]), Values(-1e6))"
    }
};

const OUTPUT: &[Mutant] = mutants! { WinogradOutput, "winograd_output":
    "word_behind_the_end" OffByOne {
        "winograd_output": "at >= params.words"
            => "at > params.words"
    }
    "last_word_left_out" OffByOne {
        "winograd_output": "at >= params.words"
            => "at + 1u >= params.words"
    }
    "second_grid_dimension" WrongGroup {
        "winograd_output": "(group.y * params.row_groups + group.x)"
            => "group.x"
    }
    "planes_overlap" OffByOne { "winograd_output": "u * params.plane" => "u * (params.plane - 1u)" }
    "dilation_ignored_below" DilationIgnored {
        "winograd_output": "tile.y + ${p}u * params.dilation" => "tile.y + ${p}u"
    }
    "dilation_ignored_on_the_right" DilationIgnored {
        "winograd_output": "tile.x + ${q}u * params.dilation" => "tile.x + ${q}u"
    }
    "pixels_below_stored" MissingTail {
        "winograd_output": "if y${p} < params.height && x${p}_${q} < params.width {"
            => "if x${p}_${q} < params.width {"
    }
    "pixels_beside_stored" MissingTail {
        "winograd_output": "if y${p} < params.height && x${p}_${q} < params.width {"
            => "if y${p} < params.height {"
    }
    "right_edge" OffByOne {
        "winograd_output": "x${p}_${q} < params.width {"
            => "x${p}_${q} + 1u < params.width {"
    }
    "lost_bias" LostBias { "winograd_output": "line_of${p}.y${q} + shift" => "line_of${p}.y${q}" }
    "bias_of_the_first_word" OffByOne { "winograd_output": "bias[word]" => "bias[0u]" }
    "lost_residual" WrongResidual { "winograd_output": "sum + unpack(residual[to])" => "sum" }
    "residual_of_the_tile" WrongResidual { "winograd_output": "residual[to]" => "residual[word]" }
    "lost_relu" ReluOrder { "winograd_output": "pack(relu_of(value))" => "pack(value)" }
    "relu_before_residual" ReluOrder {
        "winograd_output": "let value = sum + unpack(residual[to]);"
            => "//#if RELU\n        let value = relu_of(sum) + unpack(residual[to]);\n\
                //#else\n        let value = sum + unpack(residual[to]);\n//#end"
    }
    "positions_transposed" SwappedStride {
        "winograd_output": "${i*INPUTS+j}u * params"
            => "${j*INPUTS+i}u * params"
    }
    "sign_of_f2x2" StaleTile { "winograd_output": "m1 - m2 - m3" => "m1 - m2 + m3" }
    "term_of_f4x4" StaleTile { "winograd_output": "3.375 * far_odd + m5" => "3.375 * far_odd" }
    "nan_swallowed" NanSwallowed {
        "shared/relu": "select(max(x, vec4<f32>(0.0)), x, is_nan)"
            => "select(max(x, vec4<f32>(0.0)), vec4<f32>(0.0), is_nan)"
    }
};
