// norm_grad: the gradient of a norm's image, from that of its output, or of the ReLU's behind it.
//
// For: the backward pass of every norm. An invocation has a vec4 of channels of ROWS pixels that
// follow each other: scale * g, less what mean and variance take of it. Fast because: neighbours
// read and write side by side, and sums are loaded once for ROWS pixels. Bound by memory.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/norm_rows
    let pivot = sums[column + 2u * line];
    let delta = sums[column + 3u * line];
    let scale = sums[column + 4u * line];
//#if RELU
    let beta = sums[column + 5u * line];
//#end
    let of_variance = sums[column + 6u * line];
    let of_mean = sums[column + 7u * line];
//#repeat r ROWS
    let centred${r} = (src[at${r}] - pivot) - delta;
//#if RELU
    let g${r} =
        select(gradient[at${r}], vec4<f32>(0.0), centred${r} * scale + beta <= vec4<f32>(0.0));
//#else
    let g${r} = gradient[at${r}];
//#end
    dst[at${r}] = g${r} * scale + (centred${r} * of_variance + of_mean);
//#end
}
