// norm_grad: the gradient of a norm's image, from that of its output, or of the ReLU's behind it.
//
// For: the backward pass of every norm. An invocation is a vec4: scale * g, less what mean and variance take of it.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let line = params.vec4_per_pixel;
    let column = at % line;
    let centred = (src[at] - sums[column + 2u * line]) - sums[column + 3u * line];
    let scale = sums[column + 4u * line];
    var g = gradient[at];
//#if RELU
    g = select(g, vec4<f32>(0.0), centred * scale + sums[column + 5u * line] <= vec4<f32>(0.0));
//#end
    dst[at] = g * scale + (centred * sums[column + 6u * line] + sums[column + 7u * line]);
}
