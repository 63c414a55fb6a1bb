// bias_grad: the gradient of a number per channel that was added to every pixel: the sum over all
// of them, in their order.
//
// For: the linear layer of a network, whose pixels are the images of a batch. An invocation is a
// vec4 of channels. Fast because: there is little to do. Loses when: there are many pixels, which
// one invocation adds.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if column >= params.vec4_per_pixel {
        return;
    }
    var sum = gradient[column];
    for (var pixel = 1u; pixel < params.pixels; pixel += 1u) {
        sum += gradient[pixel * params.vec4_per_pixel + column];
    }
    dst[column] = sum;
}
