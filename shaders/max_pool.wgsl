// max_pool: the largest of 3x3 pixels at stride 2, of those in the image, per channel. Bound by
// memory: an output vec4 per invocation, neighbours side by side, so that the nine loads of
// neighbours meet in the cache.
//#include shared/pool

// The larger one; NaN if one of them is, as in PyTorch. Tested by bits, since drivers may take
// comparisons with NaN for anything.
fn larger(kept: vec4<f32>, next: vec4<f32>) -> vec4<f32> {
    let kept_is_nan = (bitcast<vec4<u32>>(kept) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let next_is_nan = (bitcast<vec4<u32>>(next) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return select(select(select(kept, next, next > kept), next, next_is_nan), kept, kept_is_nan);
}

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let pixel = at / params.vec4_per_pixel;
    let column = at - pixel * params.vec4_per_pixel;
    let line = pixel / params.out_width;
    let item = line / params.out_height;
    // This pixel of the window, its middle or its first, is always inside the image, and stands in
    // for those that are not.
    let y = (line - item * params.out_height) * 2u;
    let x = (pixel - line * params.out_width) * 2u;
    let first_line = item * params.in_height;
    var largest =
        unpack(src[((first_line + y) * params.in_width + x) * params.vec4_per_pixel + column]);
    for (var tap_y = 0u; tap_y < 3u; tap_y += 1u) {
        for (var tap_x = 0u; tap_x < 3u; tap_x += 1u) {
            // Pixels left of or above the image wrap to huge numbers, so that one comparison finds
            // both sides.
            let tap = vec2<u32>(x, y) + vec2<u32>(tap_x, tap_y) - vec2<u32>(params.padding);
            let inside = tap.x < params.in_width && tap.y < params.in_height;
            let near = select(vec2<u32>(x, y), tap, inside);
            let next = src[((first_line + near.y) * params.in_width + near.x)
                * params.vec4_per_pixel + column];
            largest = larger(largest, unpack(next));
        }
    }
    dst[at] = pack(largest);
}
