// conv1x1_subgroup: conv1x1 with the input rows loaded one per lane and handed round by
// subgroupBroadcast.
//
// For: devices whose subgroups all have LANES lanes; a workgroup is one subgroup. Software drivers
// above all, where a load costs as much per lane as several multiply-adds and a broadcast next to
// nothing. Fast because: each lane loads one row in LANES instead of all of them, and broadcasts
// hand them round from registers. Loses when: subgroups are as wide as a GPU's, where the plain
// kernel's loads are broadcasts already.
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
//#if STRIDED
    let pixel${h} = pixel_at(own${h});
    let line${h} = pixel${h}.item * params.in_height + pixel${h}.y * params.stride;
    let a${h} = (line${h} * params.in_width + pixel${h}.x * params.stride) * params.in_vec4;
//#else
    var a${h} = own${h} * params.in_vec4;
//#end
//#if BATCHED
    a${h} += src_at;
//#end
//#end
    for (var k = 0u; k < params.in_vec4; k += 1u) {
//#include shared/load_weights
//#repeat h HANDS
        let v${h} = unpack(src[a${h} + k]);
//#end
//#include shared/broadcast_rows
    }
//#include shared/epilogue
}
