// residual_add: the sum of two tensors, then ReLU or not. Bound by memory: a vec4 per invocation,
// neighbours side by side.
//#include shared/elementwise
@group(0) @binding(2) var<storage, read> shortcut: array<Word>;
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
    let value = unpack(src[at]) + unpack(shortcut[at]);
//#if RELU
    dst[at] = pack(relu(value));
//#else
    dst[at] = pack(value);
//#end
}
