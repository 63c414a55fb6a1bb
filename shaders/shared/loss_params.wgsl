// Mirrored by LossParams in src/kernel/update.rs; a test compares names and offsets.
struct Params {
    items: u32,
    row_groups: u32,  // workgroups along x, before y counts on
    classes: u32,
    class_vec4: u32,  // vec4s of an image's scores
    smoothing: u32,   // the bits of an f32, as is the one below
    share: u32,       // 1 / the images that a mean is over
}

@group(0) @binding(0) var<uniform> params: Params;
