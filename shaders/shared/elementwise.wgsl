// Mirrored by ElementwiseParams in src/kernel/elementwise.rs; a test compares names and offsets.
struct Params {
    vec4s: u32,         // in the whole tensor
    vec4_per_pixel: u32,
    row_groups: u32,    // workgroups along x, before y counts on
    shift_at: u32,      // where the shifts begin in the scales, in vec4s
}

//#include shared/words
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<Word>;
