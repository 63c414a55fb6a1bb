// resize_last: the second of two passes of a resize, along the rows or with DOWN along the columns,
// with the crop and the normalisation: Pillow's, in integers, rounded to eight bits, and then a
// table's values of those, so that no division of a device's own is in them. An invocation makes
// one pixel of an image of a network's input, NHWC, four channels of which the last is padding.

// Mirrored by LastParams in src/gpu/preprocess/params.rs; a test compares names and offsets.
struct Params {
    pixels: u32,        // of the image
    row_groups: u32,    // workgroups along x, before y counts on
    width: u32,         // pixels in a row of the image
    stride: u32,        // words of a column or row in the taps
    kept_width: u32,    // pixels in a row that come from the image
    kept_height: u32,   // rows that do
    left: u32,          // black pixels before them in a row
    top: u32,           // black rows before them
    src_width: u32,     // pixels in a row that the first pass made
    last_pixel: u32,    // of those
    out_at: u32,        // where the image begins in what is bound
}

@group(0) @binding(0) var<uniform> params: Params;
// A pixel a word: red in the lowest byte, then green, then blue.
@group(0) @binding(1) var<storage, read> src: array<u32>;
// For each kept column, or row, the first one of src, how many there are, and their weights, in
// units of 2^-22.
@group(0) @binding(2) var<storage, read> taps: array<i32>;
// What each byte becomes as red, green and blue; the fourth is zero.
@group(0) @binding(3) var<storage, read> levels: array<vec4<f32>, 256>;
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.pixels {
        return;
    }
    let line = at / params.width;
    // Left of and above the image these wrap to huge numbers, so that one comparison finds both
    // sides.
    let x = at - line * params.width - params.left;
    let y = line - params.top;
    var sum = vec3<i32>(1 << 21u);
    if x < params.kept_width && y < params.kept_height {
//#if DOWN
        let tap = y * params.stride;
        let first = u32(taps[tap]) * params.src_width + x;
        let step = params.src_width;
//#else
        let tap = x * params.stride;
        let first = y * params.src_width + u32(taps[tap]);
        let step = 1u;
//#end
        let count = min(u32(taps[tap + 1u]), params.stride - 2u);
        for (var i = 0u; i < count; i += 1u) {
            let word = src[min(first + i * step, params.last_pixel)];
            let pixel = (vec3<u32>(word) >> vec3<u32>(0u, 8u, 16u)) & vec3<u32>(255u);
            sum += vec3<i32>(pixel) * taps[tap + 2u + i];
        }
    }
    let byte = vec3<u32>(clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255)));
//#if GRAY
    dst[params.out_at + at] = vec4<f32>(levels[byte.r].r, 0.0, 0.0, 0.0);
//#else
//#if BGR
    dst[params.out_at + at] = vec4<f32>(levels[byte.b].r, levels[byte.g].g, levels[byte.r].b, 0.0);
//#else
    dst[params.out_at + at] = vec4<f32>(levels[byte.r].r, levels[byte.g].g, levels[byte.b].b, 0.0);
//#end
//#end
}
