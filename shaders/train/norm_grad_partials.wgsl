// norm_grad_partials: the sums that the gradients of gamma and beta are, over a slice of a batch's pixels: the first dispatch of
// norm_grad_sums.
//
// For: the backward pass of a norm and the ReLU behind it. An invocation has a vec4 of channels. Whether ReLU let a value through is seen
// from the norm's output, which is computed again rather than read.
// Fast because: neighbours read side by side.
// Loses when: there are few channels, so that lanes idle.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>;
// Of each slice: the sum of the gradients, and that of the gradients times the values less their mean: [slice][2][vec4_per_pixel].
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.x * ${LANES}u + local.x;
    let slice = (group.z * params.row_groups + group.y) * ${SLICES}u + local.y;
    if column >= params.vec4_per_pixel || slice >= params.slices {
        return;
    }
    let line = params.vec4_per_pixel;
    let pivot = coefficients[column];
    let delta = coefficients[column + line];
    let scale = coefficients[column + 2u * line];
    let beta = coefficients[column + 3u * line];
    let end = min((slice + 1u) * params.chunk, params.pixels);
    var sum = vec4<f32>(0.0);
    var centred_sum = vec4<f32>(0.0);
    for (var pixel = slice * params.chunk; pixel < end; pixel += 1u) {
        let centred = (src[pixel * line + column] - pivot) - delta;
        var g = gradient[pixel * line + column];
//#if RELU
        g = select(g, vec4<f32>(0.0), centred * scale + beta <= vec4<f32>(0.0));
//#end
        sum += g;
        centred_sum += g * centred;
    }
    let at = slice * 2u * line + column;
    dst[at] = sum;
    dst[at + line] = centred_sum;
}
