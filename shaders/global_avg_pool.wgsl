// global_avg_pool: the mean of all pixels of an image, per channel. A lane per vec4 of channels,
// neighbours side by side; its slices each sum pixels a slice count apart, and their sums are added
// in order, so that it is the same on every device. Without slices a lane would have a large map to
// itself: slow, inexact, and beyond the iterations that llvmpipe lets a loop have.
//#include shared/pool

var<workgroup> sums: array<vec4<f32>, ${LANES*SLICES}>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    // Lanes behind the last value sum what that one sums: all must come to the barrier.
    let valid = min(at, params.vec4s - 1u);
    let item = valid / params.vec4_per_pixel;
    let pixels = params.in_height * params.in_width;
    let first = item * pixels * params.vec4_per_pixel + (valid - item * params.vec4_per_pixel);
    var sum = vec4<f32>(0.0);
    for (var pixel = local.y; pixel < pixels; pixel += ${SLICES}u) {
        sum += unpack(src[first + pixel * params.vec4_per_pixel]);
    }
    sums[local.x * ${SLICES}u + local.y] = sum;
    workgroupBarrier();
    if local.y != 0u {
        return;
    }
    if at >= params.vec4s {
        return;
    }
    var total = sums[local.x * ${SLICES}u];
    for (var slice = 1u; slice < ${SLICES}u; slice += 1u) {
        total += sums[local.x * ${SLICES}u + slice];
    }
    dst[at] = pack(total * bitcast<f32>(params.scale));
}
