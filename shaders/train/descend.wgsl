// descend: a parameter after a step of SGD, against its velocity, or, by Nesterov, against where
// that leads.
//
// For: SGD with or without momentum. An invocation is a vec4.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/update
@group(0) @binding(1) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> velocity: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> control: Control;
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;
//#if NESTEROV
@group(0) @binding(5) var<storage, read> gradient: array<vec4<f32>>;
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let before = value[at];
    var step = velocity[at];
//#if NESTEROV
    step = (gradient[at] + bitcast<f32>(params.decay) * before) + bitcast<f32>(params.kept) * step;
//#end
    dst[at] = select(before, before - control.rate.x * step, control.apply.x != 0.0);
}
