// conv3x3_staged: dense conv3x3 on tiles in workgroup memory, with register blocks and two stages.
//
// For, fast because, loses when: as conv1x1_staged. Its stages run through the taps, and within one
// through the channels.
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#include shared/pixels
//#include shared/staged

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/staged_tile
//#repeat h ROW_LOADS
    let pixel${h} = pixel_at(own${h});
    let item${h} = pixel${h}.item * params.in_height;
    let top${h} = pixel${h}.y * params.stride;
    let left${h} = pixel${h}.x * params.stride;
//#end
    let tap_steps = (params.in_vec4 - 1u) / ${DEPTH}u + 1u;
    let steps = 9u * tap_steps;
//#include shared/staged_steps
    for (var step = first_step; step <= end_step; step += 1u) {
//#include shared/staged_fetched
        if step < end_step {
            let tap = step / tap_steps;
            let input_k = (step - tap * tap_steps) * ${DEPTH}u;
            let first_k = tap * params.in_vec4 + input_k;
            let quads_left = params.in_vec4 - input_k;
            let own_k = input_k + min(quad, quads_left - 1u);
//#include shared/staged_tap
//#include shared/staged_weights
        }
//#include shared/staged_sums
    }
//#include shared/epilogue
}
