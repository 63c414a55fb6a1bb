// global_avg_pool: the mean of all pixels of an image, per channel. An invocation per image and vec4 of channels, neighbours side by
// side; the sum runs over the pixels in order, so that it is the same on every device.
//#include shared/pool

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let image = at / params.vec4_per_pixel;
    let pixels = params.in_height * params.in_width;
    var source = image * pixels * params.vec4_per_pixel + (at - image * params.vec4_per_pixel);
    var sum = vec4<f32>(0.0);
    for (var pixel = 0u; pixel < pixels; pixel += 1u) {
        sum += src[source];
        source += params.vec4_per_pixel;
    }
    dst[at] = sum * bitcast<f32>(params.scale);
}
