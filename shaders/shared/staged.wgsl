// Two stages of a tile in workgroup memory: while one is summed, the next is filled. A stage is
// DEPTH quads of K: an input vec4 for each of the tile's rows, and for each of its columns the four
// vec4s of weights that belong to it. Neighbouring invocations read neighbouring vec4s of both, so
// that no two meet in a memory bank.
const TILE_ROWS = ${SLICES*ROWS}u;
const TILE_COLUMNS = ${LANES*COLS}u;
var<workgroup> staged_rows: array<Word, ${2*DEPTH*SLICES*ROWS}>;
var<workgroup> staged_weights: array<Word, ${8*DEPTH*LANES*COLS}>;

fn staged_row(at: u32) -> vec4<f32> {
    return unpack(staged_rows[at]);
}

// The weights of a quad of K and a column.
fn staged_quad(at: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        unpack(staged_weights[at]),
        unpack(staged_weights[at + TILE_COLUMNS]),
        unpack(staged_weights[at + 2u * TILE_COLUMNS]),
        unpack(staged_weights[at + 3u * TILE_COLUMNS]),
    );
}
