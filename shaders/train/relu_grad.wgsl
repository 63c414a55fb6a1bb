// relu_grad: the gradient of what ReLU saw: that of its output where the output is positive, or
// NaN.
//
// For: the ReLU behind a residual addition. An invocation is a vec4.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/elementwise
@group(0) @binding(2) var<storage, read> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    dst[at] = select(src[at], vec4<f32>(0.0), output[at] <= vec4<f32>(0.0));
}
