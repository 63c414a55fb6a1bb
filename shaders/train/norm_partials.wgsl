// norm_partials: mean and squared deviations of each channel over a slice of a batch's pixels: the first dispatch of norm_stats.
//
// For: BatchNorm2d in training mode. An invocation has a vec4 of channels and goes over its pixels twice, the second time to sum the
// squares of differences from the mean: the squares of the values themselves would lose all digits where the mean is large.
// Fast because: neighbours read side by side, and the second pass finds its pixels in a cache.
// Loses when: there are few channels, so that lanes idle.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
// Of each slice: its first pixel, the mean less that, and the squares: [slice][3][vec4_per_pixel].
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.x * ${LANES}u + local.x;
    let slice = (group.z * params.row_groups + group.y) * ${SLICES}u + local.y;
    if column >= params.vec4_per_pixel || slice >= params.slices {
        return;
    }
    let first = slice * params.chunk;
    let end = min(first + params.chunk, params.pixels);
    let count = f32(end - first);
    let pivot = src[first * params.vec4_per_pixel + column];
    var sum = vec4<f32>(0.0);
    for (var pixel = first; pixel < end; pixel += 1u) {
        sum += src[pixel * params.vec4_per_pixel + column] - pivot;
    }
    let delta = sum / count;
    var squares = vec4<f32>(0.0);
    var rest = vec4<f32>(0.0);
    for (var pixel = first; pixel < end; pixel += 1u) {
        let centred = (src[pixel * params.vec4_per_pixel + column] - pivot) - delta;
        squares += centred * centred;
        rest += centred;
    }
    let at = slice * 3u * params.vec4_per_pixel + column;
    dst[at] = pivot;
    dst[at + params.vec4_per_pixel] = delta;
    // What the mean was rounded by.
    dst[at + 2u * params.vec4_per_pixel] = squares - rest * rest / count;
}
