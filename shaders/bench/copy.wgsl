// bench/copy: reads a buffer and writes another, for a device's bandwidth. Neighbouring invocations
// copy neighbouring vec4s, and each of them EACH, so that several loads are under way.

// Mirrored by CopyParams in src/gpu/ceilings/kernels.rs; a test compares names and offsets.
struct Params {
    vec4s: u32,
    row_groups: u32,    // workgroups along x, before y counts on
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<u32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = (group.y * params.row_groups + group.x) * ${LANES*EACH}u + local.x;
//#repeat e EACH
    let at${e} = first + ${e*LANES}u;
    let value${e} = src[min(at${e}, params.vec4s - 1u)];
//#end
//#repeat e EACH
    if at${e} < params.vec4s {
        dst[at${e}] = value${e};
    }
//#end
}
