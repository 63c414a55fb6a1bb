// convert: the same values in another precision. Bound by memory: a vec4 per invocation, neighbours
// side by side.
//#include shared/elementwise
@group(0) @binding(2) var<storage, read_write> dst: array<OutWord>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    dst[at] = pack(unpack(src[at]));
}
