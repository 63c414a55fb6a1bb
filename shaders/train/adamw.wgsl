// adamw: a parameter after a step of AdamW: decayed, then against its mean gradient over the root
// of the mean of its squares.
//
// For: AdamW. An invocation is a vec4.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/update
@group(0) @binding(1) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> mean: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> squares: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> control: Control;
@group(0) @binding(5) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let before = value[at];
    let decayed = before * (1.0 - control.rate.x * bitcast<f32>(params.decay));
    let root = sqrt(squares[at]) * control.second.x + bitcast<f32>(params.eps);
    let after = decayed - (control.rate.x * control.first.x) * (mean[at] / root);
    dst[at] = select(before, after, control.apply.x != 0.0);
}
