// conv3x3_grouped_window: a grouped 3x3 convolution (dilation 1, stride 1 or 2) whose lanes slide
// along an output line.
//
// For: every device, and groups of few channels, as ResNeXt's; registers only, no workgroup memory
// and no barrier. Fast because: a lane owns ROWS pixels side by side and all of its COLS columns
// lie in one group, so that for each kernel line an input pixel is loaded once for all of its taps
// and columns (ROWS + 2 loads at stride 1, where conv3x3 has 3 ROWS), and the weights of three taps
// serve ROWS pixels. Loses when: the lines are shorter than ROWS (tails are computed and not
// stored), or the registers do not hold the window.
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
    // Row tiles run along the output lines: strips of ROWS pixels, the last of a line with a tail
    // that is not stored.
    let strips = (params.out_width - 1u) / ${ROWS}u + 1u;
    let lines = params.items * params.out_height;
    let tile = min((group.z * params.row_groups + group.y) * ${SLICES}u + local.y, lines * strips);
    let line = tile / strips;
    let first_x = (tile - line * strips) * ${ROWS}u;
    let row_end = select(0u, (line + 1u) * params.out_width, line < lines);
//#repeat r ROWS
    let row${r} = line * params.out_width + first_x + ${r}u;
//#end
//#include shared/columns
    // The first vec4 of the input channels that this lane's columns see.
    let group_at =
        min(column0, params.out_vec4 - 1u) / params.group_out_vec4 * params.group_in_vec4;
    let item = min(line, lines - 1u) / params.out_height;
    let top = (min(line, lines - 1u) - item * params.out_height) * ${STRIDE}u - 1u;
    let left = first_x * ${STRIDE}u - 1u;
    for (var tap_y = 0u; tap_y < 3u; tap_y += 1u) {
        // Pixels left of or above the image wrap to huge numbers, so that one comparison finds both
        // sides.
        let y = top + tap_y;
        let start = (item * params.in_height + y) * params.in_width;
//#repeat p WINDOW
        let inside${p} = y < params.in_height && left + ${p}u < params.in_width;
        let a${p} = select(0u, (start + left + ${p}u) * params.in_vec4, inside${p}) + group_at;
        let mask${p} = vec4<bool>(inside${p});
//#end
        for (var k = 0u; k < params.group_in_vec4; k += 1u) {
//#repeat p WINDOW
            var v${p} = select(vec4<f32>(0.0), unpack(src[a${p} + k]), mask${p});
//#end
//#include shared/window_sums
        }
        k4 += 3u * params.group_in_vec4;
    }
//#include shared/epilogue
}
