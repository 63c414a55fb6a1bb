// gate: what steers an update, with `apply` off where a loss is not finite, so that no parameter
// takes a gradient that is none.
//
// For: every step of a training run. One invocation sees to all.
// Fast because: there is little to do.
//#include shared/loss_params
@group(0) @binding(1) var<storage, read> losses: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> control: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    if group.x != 0u || local.x != 0u {
        return;
    }
    var finite = true;
    for (var item = 0u; item < params.items; item += 1u) {
        finite = finite && (bitcast<u32>(losses[item].x) & 0x7fffffffu) < 0x7f800000u;
    }
    for (var at = 0u; at < 5u; at += 1u) {
        dst[at] = select(control[at], vec4<f32>(0.0), at == 1u && !finite);
    }
}
