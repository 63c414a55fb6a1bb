// velocity: SGD's velocity after a step: what is left of it, and the gradient with the weight
// decay's.
//
// For: SGD with or without momentum. An invocation is a vec4.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/update
@group(0) @binding(1) var<storage, read> before: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> control: Control;
@group(0) @binding(5) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let fresh = gradient[at] + bitcast<f32>(params.decay) * value[at];
    dst[at] =
        select(before[at], bitcast<f32>(params.kept) * before[at] + fresh, control.apply.x != 0.0);
}
