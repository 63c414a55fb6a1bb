// add_bias: a number per channel added to every pixel.
//
// For: the linear layer of a network in training, whose weights and bias are two parameters. An
// invocation is a vec4. Fast because: neighbours read and write side by side.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    dst[at] = src[at] + bias[at % params.vec4_per_pixel];
}
