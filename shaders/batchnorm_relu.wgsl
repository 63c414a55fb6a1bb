// batchnorm_relu: x * scale + shift per channel, then ReLU or not. BatchNorm2d in eval mode: the
// host makes scale and shift from gamma, beta, mean, variance and eps in f64. Bound by memory: a
// vec4 per invocation, neighbours side by side.
//#include shared/elementwise
// A scale per vec4 of channels, then a shift per vec4 of channels. Padding has both zero.
@group(0) @binding(2) var<storage, read> scale_shift: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<OutWord>;
//#if RELU
//#include shared/relu
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let channel = at % params.vec4_per_pixel;
    let value = unpack(src[at]) * scale_shift[channel] + scale_shift[params.shift_at + channel];
//#if RELU
    dst[at] = pack(relu(value));
//#else
    dst[at] = pack(value);
//#end
}
