// accumulate: a gradient added to those of the batches before, or alone where it is the first.
//
// For: gradients over more images than fit at once. An invocation is a vec4.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/update
@group(0) @binding(1) var<storage, read> before: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> control: Control;
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    // What is not to be kept may be anything, NaN too.
    dst[at] = gradient[at] + select(vec4<f32>(0.0), before[at], control.keep.x != 0.0);
}
