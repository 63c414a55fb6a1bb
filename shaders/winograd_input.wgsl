// winograd_input: the input transform of Winograd's convolution F(OUTPUTS x OUTPUTS, 3x3), V = B' d
// B, for each tile d of INPUTS x INPUTS pixels (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2015, arXiv:1509.09308, section 4).
//
// For: the first of the three dispatches of conv3x3_winograd*. An invocation is a tile and a word
// of channels; V lies as [position][tile][word], so that each position is the rows of one matrix
// product. Fast because: it is additions, and neighbours read and write side by side. Loses when:
// channels are few, as it reads each pixel INPUTS * INPUTS / (OUTPUTS * OUTPUTS) times and writes
// as much.
//#include shared/winograd

struct Line {
//#repeat i INPUTS
    v${i}: Values,
//#end
}

// B' of a column or, as B, of a line. By Toom and Cook's method, F(4x4) with the points 0, 5/8,
// -5/8, 3/2, -3/2 and infinity, whose squares are 25/64 and 9/4: exact in binary, and a third of
// the error of 0, 1, -1, 2, -2 and infinity (src/kernel/winograd.rs).
//#if F4
fn transformed(d0: Values, d1: Values, d2: Values, d3: Values, d4: Values, d5: Values) -> Line {
    let even = d4 - 2.25 * d2;
    let odd = 0.625 * (d3 - 2.25 * d1);
    let far_even = d4 - 0.390625 * d2;
    let far_odd = 1.5 * (d3 - 0.390625 * d1);
    let first = 0.87890625 * d0 - 2.640625 * d2 + d4;
    let last = 0.87890625 * d1 - 2.640625 * d3 + d5;
    return Line(first, even + odd, even - odd, far_even + far_odd, far_even - far_odd, last);
}
//#else
fn transformed(d0: Values, d1: Values, d2: Values, d3: Values) -> Line {
    return Line(d0 - d2, d1 + d2, d2 - d1, d1 - d3);
}
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.words {
        return;
    }
    let tile_index = at / params.words_per_pixel;
    let word = at - tile_index * params.words_per_pixel;
    let tile = tile_at(tile_index);
    // Pixels left of or above the image wrap to huge numbers, so that one comparison finds both
    // sides.
//#repeat i INPUTS
    let y${i} = tile.y + ${i}u * params.dilation - params.dilation;
    let line${i} = (tile.item * params.height + y${i}) * params.width;
//#end
//#repeat j INPUTS
    let x${j} = tile.x + ${j}u * params.dilation - params.dilation;
//#repeat i INPUTS
    let inside${i}_${j} = y${i} < params.height && x${j} < params.width;
    let from${i}_${j} =
        select(0u, (line${i} + x${j}) * params.words_per_pixel, inside${i}_${j}) + word;
    let d${i}_${j} = select(Values(0.0), unpack(src[from${i}_${j}]), inside${i}_${j});
//#end
    let column${j} = transformed(
//#repeat i INPUTS
        d${i}_${j},
//#end
    );
//#end
//#repeat i INPUTS
    let line_of${i} = transformed(
//#repeat j INPUTS
        column${j}.v${i},
//#end
    );
//#repeat j INPUTS
    dst[at + ${i*INPUTS+j}u * params.plane] = pack(line_of${i}.v${j});
//#end
//#end
}
