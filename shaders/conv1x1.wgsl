// conv1x1: a 1x1 convolution with any stride as a matrix product, [rows = output pixels] x [columns
// = output channels].
//
// For: every device; register tiles only, no workgroup memory and no barrier. Fast because: all
// lanes of a row tile read the same input vec4 (one broadcast) and neighbouring weights, and each
// pair of loads feeds ROWS x COLS x 16 multiply-adds from registers. Loses when: the GPU has matrix
// units, or enough lanes that staging tiles in workgroup memory saves bandwidth.
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end
//#if STRIDED
//#include shared/pixels
//#end

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/tile
//#if STRIDED
    var pixel = pixel_at(min(first_row, params.rows - 1u));
//#repeat r ROWS
    let line${r} = pixel.item * params.in_height + pixel.y * params.stride;
    var a${r} = (line${r} * params.in_width + pixel.x * params.stride) * params.in_vec4;
    pixel = next_pixel(pixel);
//#end
//#else
//#repeat r ROWS
    var a${r} = min(first_row + ${r}u, params.rows - 1u) * params.in_vec4;
//#if BATCHED
    a${r} += src_at;
//#end
//#end
//#end
    for (var k = 0u; k < params.in_vec4; k += 1u) {
//#include shared/load_weights
//#repeat r ROWS
        let x${r} = unpack(src[a${r} + k]);
//#repeat c COLS
        acc${r}_${c} = mac(m${c}, x${r}, acc${r}_${c});
//#end
//#end
    }
//#include shared/epilogue
}
