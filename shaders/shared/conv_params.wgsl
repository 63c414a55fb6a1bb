// Mirrored by ConvParams in src/kernel/conv.rs; a test compares names and offsets.
struct Params {
    items: u32,             // in the batch; of a batch of products, the products
    rows: u32,               // output pixels of the whole batch; of a batch of products, rows of
                             // one
    row_groups: u32,         // workgroups along y, before z counts on
    in_height: u32,
    in_width: u32,
    in_vec4: u32,            // vec4s of one input pixel
    out_height: u32,
    out_width: u32,
    out_vec4: u32,           // vec4s of one output pixel
    stride: u32,
    dilation: u32,           // of a 3x3 kernel, and its padding
    group_in_vec4: u32,      // vec4s of one group's input channels: what one output channel sums
                             // over, per tap
    group_out_vec4: u32,     // vec4s of one group's output channels
    group_out_channels: u32, // the same without padding
    shortcut_vec4: u32,      // vec4s of one pixel of the joined kernel's second input
    k_quads: u32,            // quads of K that an output channel sums over, of taps and both inputs
    batch_tiles: u32,        // row tiles of a product of a batch or a slice of K, in workgroups;
                             // rows are of one
    src_plane: u32,          // vec4s from the rows of one product to those of the next
    dst_plane: u32,          // the same of its output, and from the sums of one slice of K to
                             // those of the next
}

//#include shared/words
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<Word>;
@group(0) @binding(3) var<storage, read_write> dst: array<OutWord>;
//#include shared/weights
