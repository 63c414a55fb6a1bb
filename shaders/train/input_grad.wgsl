// input_grad: the gradient of a convolution's image, for any stride, dilation and groups, from the
// convolution's own weights.
//
// For: strides other than 1, and every device. An invocation is a vec4 of the image's gradient; it
// visits the output pixels that saw its pixel, tap by tap. Fast because: nothing is written twice,
// so that there are no atomics. Loses when: the stride is 1, where the mirrored weights and a
// forward kernel with register tiles are several times as fast.
//#include shared/conv_grad_params
//#include shared/channels
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<mat4x4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.vec4s {
        return;
    }
    let column = at % params.in_vec4;
    let pixel = at / params.in_vec4;
    let x = pixel % params.in_width;
    let y = pixel / params.in_width % params.in_height;
    let item = pixel / params.in_width / params.in_height;
    let first_column = column / params.group_in_vec4 * params.group_out_vec4;
    let within = column % params.group_in_vec4;
    var sum = vec4<f32>(0.0);
    for (var tap_y = 0u; tap_y < params.side; tap_y += 1u) {
        // The output line times the stride, if this tap of it saw the line.
        let steps_y = y + params.padding - tap_y * params.dilation;
        let line = steps_y / params.stride;
        if y + params.padding < tap_y * params.dilation ||
            line * params.stride != steps_y || line >= params.out_height {
            continue;
        }
        for (var tap_x = 0u; tap_x < params.side; tap_x += 1u) {
            let steps_x = x + params.padding - tap_x * params.dilation;
            let place = steps_x / params.stride;
            if x + params.padding < tap_x * params.dilation ||
                place * params.stride != steps_x || place >= params.out_width {
                continue;
            }
            let source = ((item * params.out_height + line) * params.out_width + place)
                * params.out_vec4 + first_column;
            let quad = (tap_y * params.side + tap_x) * params.group_in_vec4 + within;
            for (var k = 0u; k < params.group_out_vec4; k += 1u) {
                sum += gradient[source + k] * weights[quad * params.out_vec4 + first_column + k];
            }
        }
    }
    dst[at] =
      select(vec4<f32>(0.0), sum, channels_of(column, params.in_run_vec4, params.in_run_channels));
}
