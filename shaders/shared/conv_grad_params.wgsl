// Mirrored by ConvGradParams in src/kernel/train.rs; a test compares names and offsets. in and out
// are the convolution's.
struct Params {
    vec4s: u32,          // of what is written; of one slice of it
    row_groups: u32,     // workgroups along one dimension, before the next counts on
    in_height: u32,
    in_width: u32,
    in_vec4: u32,
    out_height: u32,
    out_width: u32,
    out_vec4: u32,
    stride: u32,
    dilation: u32,
    padding: u32,
    side: u32,           // taps along each side
    group_in_vec4: u32,
    group_out_vec4: u32,
    pixels: u32,         // of all images of the output
    chunk: u32,          // pixels of a slice
    slices: u32,
    tap_tiles: u32,      // tiles of the input channels of a group
    in_run_vec4: u32,    // vec4s of a padded run of input channels
    in_run_channels: u32,
    out_run_vec4: u32,
    out_run_channels: u32,
    fold: u32,           // pixels in a line of the texture of the gradient, in powers of two
}

@group(0) @binding(0) var<uniform> params: Params;
