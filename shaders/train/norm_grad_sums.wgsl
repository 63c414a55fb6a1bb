// norm_grad_sums: the gradients of gamma and beta, and what the gradient of the image needs, from
// the slices of norm_grad_partials, added in their order: two runs have the same bits.
//
// For: the second dispatch of a norm's backward pass. An invocation has a vec4 of channels.
// Fast because: there is little to do.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> slices: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.x * ${LANES}u + local.x;
    if column >= params.vec4_per_pixel {
        return;
    }
    let line = params.vec4_per_pixel;
    var sum = vec4<f32>(0.0);
    var centred_sum = vec4<f32>(0.0);
    for (var slice = 0u; slice < params.slices; slice += 1u) {
        let at = slice * 2u * line + column;
        sum += slices[at];
        centred_sum += slices[at + line];
    }
    let scale = coefficients[column + 2u * line];
    let inverse = coefficients[column + 4u * line];
    let gamma = centred_sum * inverse;
    let share = bitcast<f32>(params.share);
    dst[column] = gamma;
    dst[column + line] = sum;
    dst[column + 2u * line] = coefficients[column];
    dst[column + 3u * line] = coefficients[column + line];
    dst[column + 4u * line] = scale;
    dst[column + 5u * line] = coefficients[column + 3u * line];
    dst[column + 6u * line] = -(scale * inverse) * (gamma * share);
    dst[column + 7u * line] = -scale * (sum * share);
}
