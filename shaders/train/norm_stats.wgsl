// norm_stats: what a norm does with each channel, from the slices of norm_partials, added in their
// order: two runs have the same bits.
//
// For: the second dispatch of BatchNorm2d's statistics. An invocation has a vec4 of channels.
// Slices are joined by Chan's formula, and their means as differences from the first slice's pivot,
// so that a large mean costs no digits. Fast because: there is little to do.
//#include shared/norm_params
//#include shared/channels
@group(0) @binding(1) var<storage, read> slices: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.x * ${LANES}u + local.x;
    if column >= params.vec4_per_pixel {
        return;
    }
    let line = params.vec4_per_pixel;
    let keep = channels_of(column, params.group_vec4, params.group_channels);
    let count = f32(params.pixels);
    let pivot = slices[column];
    var sum = vec4<f32>(0.0);
    for (var slice = 0u; slice < params.slices; slice += 1u) {
        let at = slice * 3u * line + column;
        let part = f32(min(params.chunk, params.pixels - slice * params.chunk));
        sum += ((slices[at] - pivot) + slices[at + line]) * part;
    }
    let delta = sum / count;
    var squares = vec4<f32>(0.0);
    for (var slice = 0u; slice < params.slices; slice += 1u) {
        let at = slice * 3u * line + column;
        let part = f32(min(params.chunk, params.pixels - slice * params.chunk));
        let apart = ((slices[at] - pivot) + slices[at + line]) - delta;
        squares += slices[at + 2u * line] + apart * apart * part;
    }
    let variance = squares / count;
    let inverse = 1.0 / sqrt(variance + bitcast<f32>(params.eps));
    dst[column] = pivot;
    dst[column + line] = delta;
    dst[column + 2u * line] = select(vec4<f32>(0.0), affine[column] * inverse, keep);
    dst[column + 3u * line] = affine[column + line];
    dst[column + 4u * line] = select(vec4<f32>(0.0), inverse, keep);
    dst[column + 5u * line] = variance;
}
