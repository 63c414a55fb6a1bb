// running_stats: running mean and variance after a batch, as PyTorch mixes them: the new variance
// is the unbiased one.
//
// For: BatchNorm2d in training mode. An invocation has a vec4 of channels.
// Fast because: there is little to do.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> running: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if column >= params.vec4_per_pixel {
        return;
    }
    let line = params.vec4_per_pixel;
    let mean = coefficients[column] + coefficients[column + line];
    let variance = coefficients[column + 5u * line] * bitcast<f32>(params.unbiased);
    let momentum = running[column + 2u * line];
    dst[column] = running[column] * (1.0 - momentum) + mean * momentum;
    dst[column + line] = running[column + line] * (1.0 - momentum) + variance * momentum;
    dst[column + 2u * line] = momentum;
}
