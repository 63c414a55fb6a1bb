// resize_first: the first of two passes of a resize: Pillow's, in integers, rounded to eight bits.
// It goes along the rows of an image, or with DOWN along its columns. Only what the second pass
// needs is made, a pixel an invocation; neighbours read neighbours, so that their loads meet in the
// cache. Bound by memory on GPUs, by single loads on software drivers.

// Mirrored by FirstParams in src/gpu/preprocess/params.rs; a test compares names and offsets.
struct Params {
    pixels: u32,        // to be made
    row_groups: u32,    // workgroups along x, before y counts on
    width: u32,         // pixels in a row to be made
    stride: u32,        // words of a pixel in the taps
    tap_at: u32,        // where the taps of the first column begin, or with DOWN those of the first
                        // row to be made
    in_width: u32,      // pixels in a row of the image
    in_height: u32,     // rows of what is bound
    left: u32,          // the first column to be read
    top: u32,           // the first row to be read, or with DOWN the row that the taps count from;
                        // it may be before what is bound
    skip: u32,          // what lies before the first row: bytes of RGB, pixels of RGBA, nothing of
                        // a texture
    last_word: u32,     // of a bound buffer
    out_at: u32,        // where the pixels to be made begin
}

@group(0) @binding(0) var<uniform> params: Params;
//#if TEXTURE
@group(0) @binding(1) var src: texture_2d<f32>;
//#else
@group(0) @binding(1) var<storage, read> src: array<u32>;
//#end
// For each column, or row, the first one of the image, how many there are, and their weights, in
// units of 2^-22.
@group(0) @binding(2) var<storage, read> taps: array<i32>;
// A pixel a word: red in the lowest byte, then green, then blue.
@group(0) @binding(3) var<storage, read_write> dst: array<u32>;

// Red, green and blue of a pixel of the image.
fn colours(x: u32, y: u32) -> vec3<i32> {
    let column = min(x, params.in_width - 1u);
    let row = min(y, params.in_height - 1u);
//#if TEXTURE
    // Eight bits as a float between 0 and 1, with an error far below half a level.
    return vec3<i32>(textureLoad(src, vec2<i32>(vec2<u32>(column, row)), 0).rgb * 255.0 + 0.5);
//#else
//#if PACKED
    // Three bytes, of one word or two.
    let at = params.skip + (row * params.in_width + column) * 3u;
    let shift = (at & 3u) * 8u;
    let low = src[min(at >> 2u, params.last_word)] >> shift;
    let high = src[min((at >> 2u) + 1u, params.last_word)];
    // A shift by 32 is none in WGSL, so the second word is moved in two steps.
    let word = low | ((high << (31u - shift)) << 1u);
//#else
    let word = src[min(params.skip + row * params.in_width + column, params.last_word)];
//#end
    return vec3<i32>((vec3<u32>(word) >> vec3<u32>(0u, 8u, 16u)) & vec3<u32>(255u));
//#end
}

// What is resized: the colours, or the brightness that Pillow's convert("L") computes from them.
fn pixel(x: u32, y: u32) -> vec3<i32> {
    let rgb = colours(x, y);
//#if GRAY
    return vec3<i32>((rgb.r * 19595 + rgb.g * 38470 + rgb.b * 7471 + 0x8000) >> 16u);
//#else
    return rgb;
//#end
}

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.pixels {
        return;
    }
    let line = at / params.width;
    let x = at - line * params.width;
//#if DOWN
    let tap = params.tap_at + line * params.stride;
//#else
    let tap = params.tap_at + x * params.stride;
//#end
    let first = u32(taps[tap]);
    let count = min(u32(taps[tap + 1u]), params.stride - 2u);
    var sum = vec3<i32>(1 << 21u);
    for (var i = 0u; i < count; i += 1u) {
//#if DOWN
        sum += pixel(params.left + x, params.top + first + i) * taps[tap + 2u + i];
//#else
        sum += pixel(params.left + first + i, params.top + line) * taps[tap + 2u + i];
//#end
    }
    let byte = vec3<u32>(clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255)));
    dst[params.out_at + at] = byte.r | (byte.g << 8u) | (byte.b << 16u);
}
