// conv1x1_joined_matrix: conv1x1_joined in half precision on matrix units, sums in single
// precision.
//
// For, fast because, loses when: as conv1x1_matrix. Its stages run through the first input, then
// through the second.
//#include shared/conv_params
@group(0) @binding(4) var<storage, read> shortcut: array<Word>;
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
    let line${h} = pixel${h}.item * params.in_height + pixel${h}.y * params.stride;
    let a${h} = own${h} * params.in_vec4;
    let b${h} = (line${h} * params.in_width + pixel${h}.x * params.stride) * params.shortcut_vec4;
//#end
    let main_steps = (params.in_vec4 - 1u) / ${DEPTH}u + 1u;
    let steps = main_steps + (params.shortcut_vec4 - 1u) / ${DEPTH}u + 1u;
//#include shared/staged_steps
    for (var step = first_step; step <= end_step; step += 1u) {
//#include shared/staged_fetched
        if step < end_step {
            let is_main = step < main_steps;
            let input_k = select(step - main_steps, step, is_main) * ${DEPTH}u;
            let first_k = select(params.in_vec4, 0u, is_main) + input_k;
            let quads_left = select(params.shortcut_vec4, params.in_vec4, is_main) - input_k;
            let own_k = input_k + min(quad, quads_left - 1u);
            if is_main {
//#repeat h ROW_LOADS
                fetched_row${h} = src[a${h} + own_k];
//#end
            } else {
//#repeat h ROW_LOADS
                fetched_row${h} = shortcut[b${h} + own_k];
//#end
            }
//#repeat h ROW_LOADS
            keeps_row${h} = quad < quads_left;
//#end
//#include shared/staged_weights
        }
//#include shared/matrix_steps
    }
//#include shared/matrix_epilogue
}
