// conv3x3_grouped_staged: a grouped 3x3 convolution (dilation 1, stride 1 or 2) that stages its
// input once per group.
//
// For: GPUs, and groups of few channels, as ResNeXt's. A workgroup owns a tile of SLICES lines of
// ROWS pixels and LANES columns that are whole groups; the input pixels that the tile sees, for
// just these groups, go to workgroup memory once. Fast because: an input vec4 is loaded from memory
// once for nine taps and all columns of its group, after a single barrier. Loses when: barriers
// and workgroup memory cost what other memory does (software drivers), or the map is smaller than
// the tile.
//#include shared/conv_params
//#include shared/mac
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end

// The input pixels of the tile, borders included: [line][pixel][column].
const STAGED_LINES = ${SLICES*STRIDE+BORDER}u;
const STAGED_VEC4S = STAGED_LINES * ${WINDOW*LANES}u;
var<workgroup> staged: array<Word, STAGED_VEC4S>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tiles_x = (params.out_width - 1u) / ${ROWS}u + 1u;
    let tiles_y = (params.out_height - 1u) / ${SLICES}u + 1u;
    let tile = group.z * params.row_groups + group.y;
    let item = tile / (tiles_x * tiles_y);
    let tile_y = tile / tiles_x % tiles_y;
    let first_x = tile % tiles_x * ${ROWS}u;
    let y = tile_y * ${SLICES}u + local.y;
    let line = item * params.out_height + y;
    let row_end =
        select(0u, (line + 1u) * params.out_width, item < params.items && y < params.out_height);
//#repeat r ROWS
    let row${r} = line * params.out_width + first_x + ${r}u;
//#end
//#include shared/columns
    // Groups have as many input as output columns and none straddles a workgroup, so these columns
    // are its input too.
    let top = tile_y * ${SLICES*STRIDE}u - 1u;
    let left = first_x * ${STRIDE}u - 1u;
    for (var at = local.y * ${LANES}u + local.x; at < STAGED_VEC4S; at += ${LANES*SLICES}u) {
        let column = group.x * ${LANES}u + at % ${LANES}u;
        // Pixels left of or above the image wrap to huge numbers, so that one comparison finds both
        // sides.
        let in_x = left + at / ${LANES}u % ${WINDOW}u;
        let in_y = top + at / ${LANES*WINDOW}u;
        let inside = in_x < params.in_width && in_y < params.in_height
            && item < params.items && column < params.in_vec4;
        let source =
            ((item * params.in_height + in_y) * params.in_width + in_x) * params.in_vec4 + column;
        staged[at] = select(Word(), src[select(0u, source, inside)], vec4<bool>(inside));
    }
    workgroupBarrier();
    let group_at = local.x / params.group_in_vec4 * params.group_in_vec4;
    for (var tap_y = 0u; tap_y < 3u; tap_y += 1u) {
        let first = (local.y * ${STRIDE}u + tap_y) * ${WINDOW*LANES}u + group_at;
        for (var k = 0u; k < params.group_in_vec4; k += 1u) {
//#repeat p WINDOW
            var v${p} = unpack(staged[first + ${p*LANES}u + k]);
//#end
//#include shared/window_sums
        }
        k4 += 3u * params.group_in_vec4;
    }
//#include shared/epilogue
}
