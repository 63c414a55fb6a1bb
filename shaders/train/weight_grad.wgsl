// weight_grad: the gradient of a convolution's weights over a slice of the output's pixels: the
// first of two dispatches.
//
// For: every convolution, of any stride, dilation and groups. An invocation has a vec4 of output
// channels and ROWS vec4s of input channels of one tap: ROWS 4x4 matrices, to each of which a pixel
// adds the product of its channels. Fast because: each pixel's loads feed ROWS x 16 multiply-adds
// from registers; neighbours read neighbouring output channels. Loses when: groups are narrow, so
// that most of its rows are other groups'.
//#include shared/conv_grad_params
//#include shared/channels
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
// [slice][weights as the forward kernels have them]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.y * ${LANES}u + local.x;
    // Taps in turn: they read nearly the same pixels.
    let tile = group.x * ${SLICES}u + local.y;
    let taps = params.side * params.side;
    let slice = group.z;
    if column >= params.out_vec4 || tile >= taps * params.tap_tiles {
        return;
    }
    let tap = tile % taps;
    let first_row = tile / taps * ${ROWS}u;
    let tap_y = tap / params.side * params.dilation;
    let tap_x = tap % params.side * params.dilation;
    let group_at = column / params.group_out_vec4 * params.group_in_vec4;
//#repeat r ROWS
    let a${r} = group_at + min(first_row + ${r}u, params.group_in_vec4 - 1u);
    var acc${r} = mat4x4<f32>();
//#end
    let first = slice * params.chunk;
    let end = min(first + params.chunk, params.pixels);
    var x = first % params.out_width;
    var y = first / params.out_width % params.out_height;
    var item = first / params.out_width / params.out_height;
    for (var pixel = first; pixel < end; pixel += 1u) {
        // Before the image is beyond its end.
        let in_y = y * params.stride + tap_y - params.padding;
        let in_x = x * params.stride + tap_x - params.padding;
        if in_y < params.in_height && in_x < params.in_width {
            let g = gradient[pixel * params.out_vec4 + column];
            let source =
                ((item * params.in_height + in_y) * params.in_width + in_x) * params.in_vec4;
//#repeat r ROWS
            let x${r} = src[source + a${r}];
            acc${r} += mat4x4<f32>(g * x${r}.x, g * x${r}.y, g * x${r}.z, g * x${r}.w);
//#end
        }
        x += 1u;
        if x == params.out_width {
            x = 0u;
            y += 1u;
            if y == params.out_height {
                y = 0u;
                item += 1u;
            }
        }
    }
    let outputs = channels_of(column, params.out_run_vec4, params.out_run_channels);
//#repeat r ROWS
    if first_row + ${r}u < params.group_in_vec4 {
        let quad = tap * params.group_in_vec4 + first_row + ${r}u;
        let to = slice * params.vec4s + (quad * params.out_vec4 + column) * 4u;
        let inputs = channels_of(a${r}, params.in_run_vec4, params.in_run_channels);
        for (var k = 0u; k < 4u; k += 1u) {
            dst[to + k] = select(vec4<f32>(0.0), acc${r}[k], outputs & vec4<bool>(inputs[k]));
        }
    }
//#end
}
