// conv1x1_matrix: conv1x1 in half precision on matrix units (cooperative matrices), sums in single
// precision.
//
// For: GPUs that have them, with subgroups of LANES lanes; a matrix multiply-add is the work of a
// subgroup. Fast because: matrix units multiply several times as fast as all else, each input word
// is loaded once per tile of columns and each weight once per tile of rows, and the loads of the
// next stage are under way while this one is multiplied. Loses when: the tile is larger than the
// map; and wherever matrix units are not in hardware (software drivers).
//#include shared/conv_params
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#if STRIDED
//#include shared/pixels
//#end
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
//#if STRIDED
    let pixel${h} = pixel_at(own${h});
    let line${h} = pixel${h}.item * params.in_height + pixel${h}.y * params.stride;
    let a${h} = (line${h} * params.in_width + pixel${h}.x * params.stride) * params.in_vec4;
//#else
    let a${h} = own${h} * params.in_vec4;
//#end
//#end
    let steps = (params.in_vec4 - 1u) / ${DEPTH}u + 1u;
//#include shared/staged_steps
    for (var step = first_step; step <= end_step; step += 1u) {
//#include shared/staged_fetched
        if step < end_step {
            let first_k = step * ${DEPTH}u;
            let quads_left = params.in_vec4 - first_k;
//#repeat h ROW_LOADS
            let row_k${h} = a${h} + first_k + min(quad, quads_left - 1u);
            fetched_row${h} = src[row_k${h}];
            keeps_row${h} = quad < quads_left;
//#end
//#include shared/staged_weights
        }
//#include shared/matrix_steps
    }
//#include shared/matrix_epilogue
}
