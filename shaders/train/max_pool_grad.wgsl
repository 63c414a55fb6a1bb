// max_pool_grad: the gradient of a max pool's image: that of each window goes to its largest pixel,
// the first of equals, or the last NaN, as in PyTorch.
//
// For: the stem's pool. An invocation is a vec4 of the image; it looks again at each window that
// holds its pixel, of which there are up to four. Fast because: nothing is written twice, so that
// there are no atomics, and no places of maxima are kept.
//#include shared/pool_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let column = at % params.vec4_per_pixel;
    let pixel = at / params.vec4_per_pixel;
    let x = pixel % params.in_width;
    let y = pixel / params.in_width % params.in_height;
    let item = pixel / params.in_width / params.in_height;
    // The windows that hold the pixel begin at most two before it.
    let last_y = min((y + params.padding) / 2u, params.out_height - 1u);
    let last_x = min((x + params.padding) / 2u, params.out_width - 1u);
    var sum = vec4<f32>(0.0);
    for (
        var window_y = (max(y + params.padding, 2u) - 1u) / 2u;
        window_y <= last_y;
        window_y += 1u
    ) {
        for (
            var window_x = (max(x + params.padding, 2u) - 1u) / 2u;
            window_x <= last_x;
            window_x += 1u
        ) {
            var largest = vec4<f32>(0.0);
            var place = vec4<u32>(0xffffffffu);
            for (var tap = 0u; tap < 9u; tap += 1u) {
                // Before the image is beyond its end.
                let tap_y = window_y * 2u + tap / 3u - params.padding;
                let tap_x = window_x * 2u + tap % 3u - params.padding;
                if tap_y < params.in_height && tap_x < params.in_width {
                    let line = item * params.in_height + tap_y;
                    let next =
                        src[(line * params.in_width + tap_x) * params.vec4_per_pixel + column];
                    let is_nan = (bitcast<vec4<u32>>(next) & vec4<u32>(0x7fffffffu))
                        > vec4<u32>(0x7f800000u);
                    let none_yet = place == vec4<u32>(0xffffffffu);
                    // A comparison with a NaN that is kept may be anything: only another NaN takes
                    // its place.
                    let kept_is_nan = (bitcast<vec4<u32>>(largest) & vec4<u32>(0x7fffffffu))
                        > vec4<u32>(0x7f800000u);
                    let taken = none_yet | is_nan | ((next > largest) & !kept_is_nan);
                    largest = select(largest, next, taken);
                    place = select(place, vec4<u32>(tap_y * params.in_width + tap_x), taken);
                }
            }
            let window = (item * params.out_height + window_y) * params.out_width + window_x;
            let g = gradient[window * params.vec4_per_pixel + column];
            sum += select(vec4<f32>(0.0), g, place == vec4<u32>(y * params.in_width + x));
        }
    }
    dst[at] = sum;
}
