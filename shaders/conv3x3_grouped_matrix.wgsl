// conv3x3_grouped_matrix: a grouped 3x3 convolution in half precision on matrix units, sums in
// single precision.
//
// For: as conv1x1_matrix, and groups whose channels divide a matrix's side or are a multiple of it.
// Fast because: a tile of SIDE output channels is a dense product with as many input channels, or
// with those of its group where they are more: a matrix that holds several small groups has them on
// its diagonal and zeros elsewhere. Matrix units do the zeros for nothing. Loses when: as
// conv1x1_matrix; each tap loads its input again.
//#include shared/conv_params
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#include shared/pixels
//#include shared/matrix

@compute @workgroup_size(${LANES*SLICES}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
//#include shared/matrix_tile
//#repeat h ROW_LOADS
    let pixel${h} = pixel_at(own${h});
    let top${h} = pixel${h}.y * params.stride;
    let left${h} = pixel${h}.x * params.stride;
    let corner${h} =
        (pixel${h}.item * params.in_height + top${h}) * params.in_width + left${h};
//#end
    // The vec4s of input channels that the tile sees: those of its group, or as many as it has
    // itself, beginning where it or its group does.
    let span = max(params.group_in_vec4, TILE_COLUMNS);
    let first_in = first_column / span * span;
    let tap_vec4 = min(span, params.in_vec4 - first_in);
    let tap_steps = (span - 1u) / ${DEPTH}u + 1u;
    let steps = 9u * tap_steps;
//#include shared/staged_steps
//#repeat g WEIGHT_LOADS
    // The first input vec4 of the group of this column.
    let group_in${g} = min(first_column + weight_column${g}, params.out_vec4 - 1u)
        / params.group_out_vec4 * params.group_in_vec4;
//#end
    // Tap after tap, and after the last stage a turn that loads nothing.
    var step = first_step;
    for (var tap = first_step / tap_steps; step <= end_step; tap += 1u) {
//#include shared/staged_tap
        let tap_end = min((tap + 1u) * tap_steps, end_step + 1u);
        for (; step < tap_end; step += 1u) {
//#include shared/staged_fetched
//#repeat g WEIGHT_LOADS
            var keeps_weight${g} = false;
//#end
            if step < end_step {
//#include shared/staged_tap_rows
//#repeat g WEIGHT_LOADS
                // The quad of the group's own input channels, if this is one of them.
                let within${g} = first_in + input_k + weight_quad${g} - group_in${g};
                let weight_k${g} =
                    tap * params.group_in_vec4 + min(within${g}, params.group_in_vec4 - 1u);
                fetched_weight${g} = weights[weight_k${g} * params.out_vec4 * 4u + weight_at${g}];
                keeps_weight${g} = within${g} < params.group_in_vec4;
//#end
            }
//#include shared/matrix_steps
        }
    }
//#include shared/matrix_epilogue
}
