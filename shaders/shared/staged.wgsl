// Two stages of a tile in workgroup memory: while one is summed, the next is filled. A stage is
// DEPTH quads of K: an input vec4 for each of the tile's rows, and for each of its columns the four
// vec4s of weights that belong to it. Neighbouring invocations read neighbouring vec4s of both, so
// that no two meet in a memory bank.
const TILE_ROWS = ${SLICES*ROWS}u;
const TILE_COLUMNS = ${LANES*COLS}u;
var<workgroup> staged_rows: array<Word, ${2*DEPTH*SLICES*ROWS}>;
var<workgroup> staged_weights: array<Word, ${8*DEPTH*LANES*COLS}>;
