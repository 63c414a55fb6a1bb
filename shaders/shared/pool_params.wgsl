// Mirrored by PoolParams in src/kernel/pool.rs; a test compares names and offsets.
struct Params {
    vec4s: u32,         // in the whole output
    vec4_per_pixel: u32,
    row_groups: u32,    // workgroups along x, before y counts on
    in_height: u32,     // of the pool's image, as are those below
    in_width: u32,
    out_height: u32,
    out_width: u32,
    padding: u32,       // lines and columns that the first window begins before the image
    scale: u32,         // the bits of the f32 that a sum of a whole image is multiplied by
}

@group(0) @binding(0) var<uniform> params: Params;
