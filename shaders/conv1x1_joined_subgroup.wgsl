// conv1x1_joined_subgroup: conv1x1_joined with the input rows loaded one per lane and handed round
// by subgroupBroadcast.
//
// For, fast because, loses when: as conv1x1_subgroup.
//#include shared/conv_params
//#include shared/mac
@group(0) @binding(4) var<storage, read> shortcut: array<Word>;
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
    let own${h} = min(first_row + ${h}u * ${LANES}u + lane, params.rows - 1u);
    let pixel${h} = pixel_at(own${h});
    let line${h} = pixel${h}.item * params.in_height + pixel${h}.y * params.stride;
    let a${h} = own${h} * params.in_vec4;
    let b${h} = (line${h} * params.in_width + pixel${h}.x * params.stride) * params.shortcut_vec4;
//#end
    for (var k = 0u; k < params.in_vec4; k += 1u) {
//#include shared/load_weights
//#repeat h HANDS
        let v${h} = unpack(src[a${h} + k]);
//#end
//#include shared/broadcast_rows
    }
    for (var k = 0u; k < params.shortcut_vec4; k += 1u) {
//#include shared/load_weights
//#repeat h HANDS
        let v${h} = unpack(shortcut[b${h} + k]);
//#end
//#include shared/broadcast_rows
    }
//#include shared/epilogue
}
