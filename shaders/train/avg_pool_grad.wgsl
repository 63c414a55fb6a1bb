// avg_pool_grad: the gradient of an image whose mean was taken: of every pixel the same.
//
// For: the head of a network. An invocation is a vec4 of the image.
// Fast because: neighbours write side by side, and what they read is small.
//#include shared/pool

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let pixel = at / params.vec4_per_pixel;
    let item = pixel / (params.in_height * params.in_width);
    dst[at] = src[item * params.vec4_per_pixel + at % params.vec4_per_pixel]
        * bitcast<f32>(params.scale);
}
