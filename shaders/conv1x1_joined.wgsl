// conv1x1_joined: a block's third convolution and its downsample as one matrix product over two
// inputs, out = [W3 | Wds] x [mid ; x at the stride] + bias: the shortcut is never written to
// memory.
//
// For, fast because, loses when: as conv1x1, whose tile this is.
//#include shared/conv_params
//#include shared/mac
@group(0) @binding(4) var<storage, read> shortcut: array<Word>;
//#if RELU
//#include shared/relu
//#end
//#include shared/pixels

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/tile
//#repeat r ROWS
    let a${r} = min(first_row + ${r}u, params.rows - 1u) * params.in_vec4;
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
    var pixel = pixel_at(min(first_row, params.rows - 1u));
//#repeat r ROWS
    let line${r} = pixel.item * params.in_height + pixel.y * params.stride;
    let b${r} = (line${r} * params.in_width + pixel.x * params.stride) * params.shortcut_vec4;
    pixel = next_pixel(pixel);
//#end
    for (var k = 0u; k < params.shortcut_vec4; k += 1u) {
//#include shared/load_weights
//#repeat r ROWS
        let x${r} = unpack(shortcut[b${r} + k]);
//#repeat c COLS
        acc${r}_${c} = mac(m${c}, x${r}, acc${r}_${c});
//#end
//#end
    }
//#include shared/epilogue
}
