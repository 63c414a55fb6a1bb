// conv3x3_grouped_slide: a grouped 3x3 convolution (dilation 1, stride 1) whose lanes slide down
// the image.
//
// For: software drivers, and groups whose input channels are one vec4, as ResNeXt's first stage
// has; registers only. Fast because: a lane owns a strip of ROWS pixels side by side of one column
// and goes down LINES output lines. It loads each input line once for the three output lines that
// see it (1.3 loads for each output of 7 pixels, where conv3x3_grouped_window has 3.9), and its
// weights once for all. Loses when: a device wants more invocations than there are strips, as every
// GPU does, or the strips end in tails.
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    // A row tile is a strip of an image: ROWS pixels of LINES lines, of which those after an end
    // are not stored.
    let strips = (params.out_width - 1u) / ${ROWS}u + 1u;
    let parts = (params.out_height - 1u) / ${LINES}u + 1u;
    let tile = min(
        (group.z * params.row_groups + group.y) * ${SLICES}u + local.y,
        params.items * parts * strips,
    );
    let part = tile / strips;
    let first_x = (tile - part * strips) * ${ROWS}u;
    let item = min(part / parts, params.items - 1u);
    let first_y = (part - part / parts * parts) * ${LINES}u;
    let lines =
        select(0u, min(${LINES}u, params.out_height - first_y), part / parts < params.items);
//#include shared/columns
    let group_at = valid_column0 / params.group_out_vec4;
    let left = first_x - 1u;
//#repeat t 9
    let m${t} = mat4x4<f32>(
        weight(${t}u, w0),
        weight(${t}u, w0 + 1u),
        weight(${t}u, w0 + 2u),
        weight(${t}u, w0 + 3u),
    );
//#end
    // The sums of the two lines below the one that acc is of.
//#repeat r ROWS
    var next${r} = vec4<f32>(0.0);
    var last${r} = vec4<f32>(0.0);
//#end
    // Each turn adds one input line to the three output lines that see it, and stores the first of
    // them; in the first two turns that one lies above the strip.
    for (var turn = 0u; turn < lines + 2u; turn += 1u) {
        // Pixels left of or above the image wrap to huge numbers, so that one comparison finds both
        // sides.
        let y = first_y + turn - 1u;
        let start = (item * params.in_height + y) * params.in_width;
//#repeat p WINDOW
        let inside${p} = y < params.in_height && left + ${p}u < params.in_width;
        let a${p} = select(0u, (start + left + ${p}u) * params.in_vec4, inside${p}) + group_at;
        let v${p} = select(vec4<f32>(0.0), unpack(src[a${p}]), vec4<bool>(inside${p}));
//#end
//#repeat x 3
//#repeat r ROWS
        acc${r}_0 = mac(m${6+x}, v${r+x}, acc${r}_0);
        next${r} = mac(m${3+x}, v${r+x}, next${r});
        last${r} = mac(m${x}, v${r+x}, last${r});
//#end
//#end
        let line = item * params.out_height + first_y + turn - 2u;
        let row_end = select(0u, (line + 1u) * params.out_width, turn >= 2u);
//#repeat r ROWS
        let row${r} = line * params.out_width + first_x + ${r}u;
//#end
//#include shared/epilogue
//#repeat r ROWS
        acc${r}_0 = next${r};
        next${r} = last${r};
        last${r} = vec4<f32>(0.0);
//#end
    }
}
