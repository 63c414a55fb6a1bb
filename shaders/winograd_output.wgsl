// winograd_output: the output transform of Winograd's convolution F(OUTPUTS x OUTPUTS, 3x3), Y = A'
// M A, then bias, residual and ReLU (Lavin and Gray, 2015, arXiv:1509.09308, section 4).
//
// For: the last of the three dispatches of conv3x3_winograd*. An invocation is a tile and a word of
// channels; M lies as V does. Fast because, loses when: as winograd_input.
//#include shared/winograd
//#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<Word>;
//#end
//#if RESIDUAL
@group(0) @binding(${3+BIAS}) var<storage, read> residual: array<Word>;
//#end
//#if RELU
//#include shared/relu
//#end

struct Line {
//#repeat p OUTPUTS
    y${p}: Values,
//#end
}

// A' of a column or, as A, of a line: the powers 0 to 3 of the points that winograd_input takes,
// and of infinity the last alone.
//#if F4
fn transformed(m0: Values, m1: Values, m2: Values, m3: Values, m4: Values, m5: Values) -> Line {
    let even = m1 + m2;
    let odd = m1 - m2;
    let far_even = m3 + m4;
    let far_odd = m3 - m4;
    return Line(
        m0 + even + far_even,
        0.625 * odd + 1.5 * far_odd,
        0.390625 * even + 2.25 * far_even,
        0.244140625 * odd + 3.375 * far_odd + m5,
    );
}
//#else
fn transformed(m0: Values, m1: Values, m2: Values, m3: Values) -> Line {
    return Line(m0 + m1 + m2, m1 - m2 - m3);
}
//#end

//#if RELU
fn relu_of(values: Values) -> Values {
//#if TEXTURE
    return relu(values.xyxy).xy;
//#else
    return relu(values);
//#end
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
//#if BIAS
    let shift = unpack(bias[word]);
//#else
    let shift = Values(0.0);
//#end
//#repeat j INPUTS
    let column${j} = transformed(
//#repeat i INPUTS
        unpack(src[at + ${i*INPUTS+j}u * params.plane]),
//#end
    );
//#end
    // Padding channels come out as zeros: their products are stored as zeros, and their bias is
    // zero.
//#repeat p OUTPUTS
    let y${p} = tile.y + ${p}u * params.dilation;
    let line${p} = (tile.item * params.height + y${p}) * params.width;
    let line_of${p} = transformed(
//#repeat j INPUTS
        column${j}.y${p},
//#end
    );
//#repeat q OUTPUTS
    let x${p}_${q} = tile.x + ${q}u * params.dilation;
    if y${p} < params.height && x${p}_${q} < params.width {
        let to = (line${p} + x${p}_${q}) * params.words_per_pixel + word;
        let sum = line_of${p}.y${q} + shift;
//#if RESIDUAL
        let value = sum + unpack(residual[to]);
//#else
        let value = sum;
//#end
//#if RELU
        dst[to] = pack(relu_of(value));
//#else
        dst[to] = pack(value);
//#end
    }
//#end
//#end
}
