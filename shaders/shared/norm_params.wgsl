// Mirrored by NormParams in src/kernel/train.rs; a test compares names and offsets.
struct Params {
    vec4s: u32,          // in the whole image
    vec4_per_pixel: u32,
    row_groups: u32,     // workgroups along one dimension, before the next counts on
    pixels: u32,         // of all images
    chunk: u32,          // pixels of a slice
    slices: u32,
    group_vec4: u32,     // vec4s of a padded run of channels
    group_channels: u32, // channels of one
    eps: u32,            // the bits of an f32, as are those below
    share: u32,          // 1 / pixels, or 0 where statistics do not depend on the image
    unbiased: u32,       // pixels / (pixels - 1)
}

@group(0) @binding(0) var<uniform> params: Params;
