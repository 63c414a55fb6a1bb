// norm_frozen: what a norm in eval mode does with each channel, from its running statistics, in the
// form of norm_stats.
//
// For: layers that are frozen, or whose norms are not to see the batch, while gradients pass
// through them. Fast because: there is little to do.
//#include shared/norm_params
//#include shared/channels
@group(0) @binding(1) var<storage, read> running: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if column >= params.vec4_per_pixel {
        return;
    }
    let line = params.vec4_per_pixel;
    let keep = channels_of(column, params.group_vec4, params.group_channels);
    let variance = running[column + line];
    let inverse = 1.0 / sqrt(variance + bitcast<f32>(params.eps));
    dst[column] = running[column];
    dst[column + line] = vec4<f32>(0.0);
    dst[column + 2u * line] = select(vec4<f32>(0.0), affine[column] * inverse, keep);
    dst[column + 3u * line] = affine[column + line];
    dst[column + 4u * line] = select(vec4<f32>(0.0), inverse, keep);
    dst[column + 5u * line] = variance;
}
