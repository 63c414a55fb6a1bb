// weight_grad_sum: the slices of weight_grad added in their order: no atomics, so that two runs
// have the same bits.
//
// For: the second dispatch of the gradient of weights. An invocation is a vec4 of it.
// Fast because: neighbours read and write side by side.
//#include shared/conv_grad_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    var sum = src[at];
    for (var slice = 1u; slice < params.slices; slice += 1u) {
        sum += src[at + slice * params.vec4s];
    }
    dst[at] = sum;
}
