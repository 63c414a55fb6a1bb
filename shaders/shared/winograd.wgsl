// Mirrored by WinogradParams in src/kernel/winograd.rs; a test compares names and offsets.
struct Params {
    words: u32,          // of all tiles: one for each tile and word of channels
    words_per_pixel: u32,
    row_groups: u32,     // workgroups along x, before y counts on
    plane: u32,          // words from one position to the next
    height: u32,         // of an image, before and after
    width: u32,
    dilation: u32,
    phase_lines: u32,    // phases along y: pixels whose y differ by multiples of the dilation
                         // are a phase
    phase_columns: u32,  // along x
    tile_lines: u32,     // tiles of one phase along y
    tile_columns: u32,   // along x
}

// What an invocation transforms of a pixel. TEXTURE: 64 bits, for software drivers that run one
// loop over the lanes for each scalar that they load or store, and compile each of these loops: two
// channels an invocation are half as many to compile as four, and as many to run.
//#if TEXTURE
alias Word = u64;
alias Values = vec2<f32>;

fn unpack(word: Word) -> Values {
    return bitcast<vec2<f32>>(vec2<u32>(u32(word), u32(word >> 32u)));
}

fn pack(values: Values) -> Word {
    let bits = bitcast<vec2<u32>>(values);
    return u64(bits.x) | (u64(bits.y) << 32u);
}
//#else
alias Word = vec4<f32>;
alias Values = vec4<f32>;

fn unpack(word: Word) -> Values {
    return word;
}

fn pack(values: Values) -> Word {
    return values;
}
//#end

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<Word>;
@group(0) @binding(2) var<storage, read_write> dst: array<Word>;

// A tile's first output pixel. Its others lie the dilation apart: a convolution of that dilation is
// an ordinary one of each phase.
struct TileAt {
    item: u32,
    y: u32,
    x: u32,
}

fn tile_at(tile: u32) -> TileAt {
    let line = tile / params.tile_columns;
    let phase = line / params.tile_lines;
    let phase_line = phase / params.phase_columns;
    let item = phase_line / params.phase_lines;
    let step = ${OUTPUTS}u * params.dilation;
    let y = phase_line - item * params.phase_lines + (line - phase * params.tile_lines) * step;
    let x = phase - phase_line * params.phase_columns + (tile - line * params.tile_columns) * step;
    return TileAt(item, y, x);
}
