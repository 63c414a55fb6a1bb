// conv3x3_subgroup: dense conv3x3 with the input rows loaded one per lane and handed round by
// subgroupBroadcast.
//
// Like conv1x1_subgroup in what it is for, why it is fast and when it is slower. Each lane computes
// only the taps of the rows that it loaded.
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#include shared/pixels

@compute @workgroup_size(${LANES}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
//#include shared/tile
    // This lane loads the rows first_row + h * LANES + lane.
//#repeat h HANDS
    let pixel${h} = pixel_at(min(first_row + ${h}u * ${LANES}u + lane, params.rows - 1u));
    let item${h} = pixel${h}.item * params.in_height;
    let top${h} = pixel${h}.y * params.stride;
    let left${h} = pixel${h}.x * params.stride;
//#end
    for (var tap_y = 0u; tap_y < ${SIDE}u; tap_y += 1u) {
        for (var tap_x = 0u; tap_x < ${SIDE}u; tap_x += 1u) {
            // Pixels left of or above the image wrap to huge numbers, so that one comparison finds
            // both sides.
            let down = tap_y * params.dilation - params.dilation * ${SIDE/2}u;
            let right = tap_x * params.dilation - params.dilation * ${SIDE/2}u;
//#repeat h HANDS
            let y${h} = top${h} + down;
            let z${h} = left${h} + right;
            let inside${h} = y${h} < params.in_height && z${h} < params.in_width;
            let a${h} = select(
                0u,
                ((item${h} + y${h}) * params.in_width + z${h}) * params.in_vec4,
                inside${h},
            );
            let mask${h} = vec4<bool>(inside${h});
//#end
            for (var k = 0u; k < params.in_vec4; k += 1u) {
//#include shared/load_weights
//#repeat h HANDS
                let v${h} = select(vec4<f32>(0.0), unpack(src[a${h} + k]), mask${h});
//#end
//#include shared/broadcast_rows
            }
        }
    }
//#include shared/epilogue
}
