// mirrored_weights: the weights of the convolution by which a convolution of stride 1 hands
// gradients back: inputs and outputs exchanged, taps turned round. The forward kernels then do the
// rest.
//
// For: the backward pass of 1x1 and 3x3 convolutions of stride 1. An invocation is a 4x4 matrix of
// weights, which is transposed. Fast because: there are few weights compared with pixels.
//#include shared/conv_grad_params
@group(0) @binding(1) var<storage, read> src: array<mat4x4<f32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<mat4x4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    // A matrix is four vec4s.
    if at >= params.vec4s / 4u {
        return;
    }
    let column = at % params.in_vec4;
    let quad = at / params.in_vec4;
    let tap = quad / params.group_out_vec4;
    let within = column % params.group_in_vec4;
    let source_quad = (params.side * params.side - 1u - tap) * params.group_in_vec4 + within;
    let source_column =
        column / params.group_in_vec4 * params.group_out_vec4 + quad % params.group_out_vec4;
    dst[at] = transpose(src[source_quad * params.out_vec4 + source_column]);
}
