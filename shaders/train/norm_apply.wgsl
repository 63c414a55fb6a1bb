// norm_apply: BatchNorm2d by its coefficients, then ReLU or not.
//
// For: every norm of a training run. An invocation is a vec4. The value less the pivot comes first: it is exact, or nearly so.
// Fast because: neighbours read and write side by side. Bound by memory.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
//#if RELU
//#include shared/relu
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let line = params.vec4_per_pixel;
    let column = at % line;
    let centred = (src[at] - coefficients[column]) - coefficients[column + line];
    let value = centred * coefficients[column + 2u * line] + coefficients[column + 3u * line];
//#if RELU
    dst[at] = relu(value);
//#else
    dst[at] = value;
//#end
}
