// Mirrored by ConvParams in src/kernel/conv.rs; a test compares names and offsets.
struct Params {
    images: u32,             // in the batch
    rows: u32,               // output pixels of the whole batch
    row_groups: u32,         // workgroups along y, before z counts on
    in_height: u32,
    in_width: u32,
    in_vec4: u32,            // vec4s of one input pixel
    out_height: u32,
    out_width: u32,
    out_vec4: u32,           // vec4s of one output pixel
    stride: u32,
    dilation: u32,           // of a 3x3 kernel, and its padding
    group_in_vec4: u32,      // vec4s of one group's input channels: what one output channel sums over, per tap
    group_out_vec4: u32,     // vec4s of one group's output channels
    group_out_channels: u32, // the same without padding
    shortcut_vec4: u32,      // vec4s of one pixel of the joined kernel's second input
    bias_at: u32,            // where the bias begins in the weights, in vec4s
}

//#include shared/words
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<Word>;
// [k / 4][column][4]: for each four input channels and each vec4 of output channels four vec4s, one per input channel.
// Then the bias, a vec4 per column.
@group(0) @binding(2) var<storage, read> weights: array<Word>;
@group(0) @binding(3) var<storage, read_write> dst: array<Word>;
