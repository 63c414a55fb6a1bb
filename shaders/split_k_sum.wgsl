// split_k_sum: the sums of a convolution whose K was cut into slices: a value's slices added in
// their order, then bias, residual, ReLU.
//
// For: the second of the two dispatches of *_k4, *_k8 and *_k16. An invocation is a vec4 of the
// output; the slices' sums lie as [slice][row][column]. Fast because: neighbours read and write
// side by side. No atomics, so that two runs have the same bits. Loses when: outputs are many, as
// it reads K_SLICES planes of them, which the first dispatch writes.

// Mirrored by SplitKParams in src/kernel/split_k.rs; a test compares names and offsets.
struct Params {
    vec4s: u32,          // in the whole output
    vec4_per_pixel: u32,
    row_groups: u32,     // workgroups along x, before y counts on
    plane: u32,          // vec4s from the sums of one slice to those of the next
}

//#include shared/words
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<OutWord>;
//#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
//#end
//#if RESIDUAL
@group(0) @binding(${3+BIAS}) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    // Padding channels come out as zeros: every slice stores zeros there, and their bias is zero.
    var sum = vec4<f32>(0.0);
//#repeat s K_SLICES
    sum += src[at + ${s}u * params.plane];
//#end
//#if BIAS
    sum += bias[at % params.vec4_per_pixel];
//#end
//#if RESIDUAL
    sum += unpack(residual[at]);
//#end
//#if RELU
    dst[at] = pack(relu(sum));
//#else
    dst[at] = pack(sum);
//#end
}
