// conv1x1_staged: conv1x1 on tiles in workgroup memory, with register blocks and two stages.
//
// For: GPUs, whose workgroup memory is on the chip and whose invocations meet at a barrier for next
// to nothing. Fast because: each input vec4 is loaded from memory once per tile of columns and each
// weight once per tile of rows, and the loads of the next stage are under way while this one is
// summed. Loses when: barriers and workgroup memory cost what other memory does (software drivers),
// or the tile is larger than the map (small tiles are for 14x14 and 7x7).
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#if STRIDED
//#include shared/pixels
//#end
//#include shared/staged

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/staged_tile
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
//#include shared/staged_sums
    }
//#include shared/epilogue
}
