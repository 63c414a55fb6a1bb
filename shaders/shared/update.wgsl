// Mirrored by UpdateParams in src/kernel/update.rs; a test compares names and offsets.
struct Params {
    vec4s: u32,
    row_groups: u32, // workgroups along x, before y counts on
    kept: u32,       // the bits of an f32, as are those below: momentum or beta
    fresh: u32,      // 1 - beta
    decay: u32,
    eps: u32,
}

// What src/op/update.rs says of CONTROL, a pixel each.
struct Control {
    rate: vec4<f32>,
    apply: vec4<f32>,
    keep: vec4<f32>,
    first: vec4<f32>,
    second: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
