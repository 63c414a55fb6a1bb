// conv3x3: a 3x3 convolution with any stride and dilation (padding = dilation), dense or grouped,
// or a dense 7x7 one (a stem's), as an implicit matrix product: K runs tap by tap with the channels
// innermost, so stride and dilation are offsets of rows.
//
// For: every device; register tiles only, no workgroup memory and no barrier. Fast because: as
// conv1x1; a tap's row offsets are computed once and serve all channels. Loses when: as conv1x1;
// and GROUPED, where lanes of different groups read different inputs and no load is shared.
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#include shared/pixels

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/tile
//#if GROUPED
    // The first vec4 of the input channels that this lane's column sees (GROUPED tiles have one
    // column).
    let group_at =
        min(column0, params.out_vec4 - 1u) / params.group_out_vec4 * params.group_in_vec4;
//#else
    let group_at = 0u;
//#end
    // Top left tap of each row, in input pixels, before padding is taken off.
    var pixel = pixel_at(min(first_row, params.rows - 1u));
//#repeat r ROWS
    let item${r} = pixel.item * params.in_height;
    let top${r} = pixel.y * params.stride;
    let left${r} = pixel.x * params.stride;
    pixel = next_pixel(pixel);
//#end
    for (var tap_y = 0u; tap_y < ${SIDE}u; tap_y += 1u) {
        for (var tap_x = 0u; tap_x < ${SIDE}u; tap_x += 1u) {
            // Pixels left of or above the image wrap to huge numbers, so that one comparison finds
            // both sides.
            let down = tap_y * params.dilation - params.dilation * ${SIDE/2}u;
            let right = tap_x * params.dilation - params.dilation * ${SIDE/2}u;
//#repeat r ROWS
            let y${r} = top${r} + down;
            let x${r} = left${r} + right;
            let inside${r} = y${r} < params.in_height && x${r} < params.in_width;
            let offset${r} = ((item${r} + y${r}) * params.in_width + x${r}) * params.in_vec4;
            let a${r} = select(0u, offset${r}, inside${r}) + group_at;
            let mask${r} = vec4<bool>(inside${r});
//#end
            for (var k = 0u; k < params.group_in_vec4; k += 1u) {
//#include shared/load_weights
//#repeat r ROWS
                let v${r} = select(vec4<f32>(0.0), unpack(src[a${r} + k]), mask${r});
//#repeat c COLS
                acc${r}_${c} = mac(m${c}, v${r}, acc${r}_${c});
//#end
//#end
            }
        }
    }
//#include shared/epilogue
}
