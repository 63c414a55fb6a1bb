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
    let top${h} = pixel${h}.y * params.stride;
    let left${h} = pixel${h}.x * params.stride;
    let corner${h} =
        (pixel${h}.item * params.in_height + top${h}) * params.in_width + left${h};
//#end
    let first_in = 0u;
    let tap_vec4 = params.in_vec4;
    let tap_steps = (tap_vec4 - 1u) / ${DEPTH}u + 1u;
    let steps = 9u * tap_steps;
//#include shared/staged_steps
    // Tap after tap, and after the last stage a turn that loads nothing.
    var step = first_step;
    for (var tap = first_step / tap_steps; step <= end_step; tap += 1u) {
//#include shared/staged_tap
        let tap_end = min((tap + 1u) * tap_steps, end_step + 1u);
        for (; step < tap_end; step += 1u) {
//#include shared/staged_fetched
            if step < end_step {
//#include shared/staged_tap_rows
//#include shared/staged_weights
            }
//#include shared/staged_sums
        }
    }
//#include shared/epilogue
}
