// Two stages of a tile in workgroup memory, as matrix units read them: rows of words, and
// rows of words of output channels, a few words apart from each other so that no two rows
// begin in the same memory bank. While one is multiplied, the next is filled. A workgroup is SLICES
// subgroups in MATRIX_LINES lines; a subgroup owns ROWS by COLS matrices of SIDE by SIDE outputs.
// SCALARS: of single values, for compilers that want pointers to what a matrix is made of (Metal);
// else of words, which are stored faster.
const TILE_ROWS = ${MATRIX_LINES*ROWS*SIDE_OF_MATRIX}u;
const TILE_COLUMNS = ${MATRIX_COLUMNS*COLS*SIDE_OF_MATRIX/4}u;
const ROW_WORDS = ${DEPTH+2}u;
const WEIGHT_WORDS = TILE_COLUMNS + 2u;
//#if SCALARS
const UNIT = 4u;
var<workgroup> staged_rows: array<f16, 2u * TILE_ROWS * ROW_WORDS * 4u>;
var<workgroup> staged_weights: array<f16, ${8*DEPTH}u * WEIGHT_WORDS * 4u>;
var<workgroup> sums: array<f32, ${SLICES*SIDE_OF_MATRIX*SIDE_OF_MATRIX}>;

fn stage_row(word: u32, value: Word) {
//#repeat i 4
    staged_rows[word * 4u + ${i}u] = value[${i}];
//#end
}

fn stage_weights(word: u32, value: Word) {
//#repeat i 4
    staged_weights[word * 4u + ${i}u] = value[${i}];
//#end
}

fn summed(word: u32) -> vec4<f32> {
    let at = word * 4u;
    return vec4<f32>(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
}
//#else
const UNIT = 1u;
var<workgroup> staged_rows: array<Word, 2u * TILE_ROWS * ROW_WORDS>;
var<workgroup> staged_weights: array<Word, ${8*DEPTH}u * WEIGHT_WORDS>;
var<workgroup> sums: array<vec4<f32>, ${SLICES*SIDE_OF_MATRIX*SIDE_OF_MATRIX/4}>;

fn stage_row(word: u32, value: Word) {
    staged_rows[word] = value;
}

fn stage_weights(word: u32, value: Word) {
    staged_weights[word] = value;
}

fn summed(word: u32) -> vec4<f32> {
    return sums[word];
}
//#end
