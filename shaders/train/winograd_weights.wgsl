// winograd_weights: the weights of Winograd's convolution F(OUTPUTS x OUTPUTS, 3x3), U = G g G',
// from those of a tensor that changes from run to run (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015, arXiv:1509.09308, section 4).
//
// For: conv3x3_winograd* in training, as the first of its dispatches. An invocation is a word of
// the weights of all taps: those of a tap lie in the order in which those of a position do. Fast
// because: it is additions, and neighbours read and write side by side.
//#include shared/winograd

struct Line {
//#repeat i INPUTS
    v${i}: Values,
//#end
}

// G of a column or, as G', of a line. F(4x4) has the points 0, 5/8, -5/8, 3/2, -3/2 and infinity
// (src/kernel/winograd.rs): a line of G is the powers of a point over the product of its distances
// from the others.
//#if F4
const OF_ZERO = 1.0 / 0.87890625;
const OF_NEAR = 1.0 / (2.0 * 0.390625 * (0.390625 - 2.25));
const OF_FAR = 1.0 / (2.0 * 2.25 * (2.25 - 0.390625));

fn transformed(g0: Values, g1: Values, g2: Values) -> Line {
    let near = g0 + 0.390625 * g2;
    let far = g0 + 2.25 * g2;
    return Line(
        g0 * OF_ZERO,
        (near + 0.625 * g1) * OF_NEAR,
        (near - 0.625 * g1) * OF_NEAR,
        (far + 1.5 * g1) * OF_FAR,
        (far - 1.5 * g1) * OF_FAR,
        g2,
    );
}
//#else
fn transformed(g0: Values, g1: Values, g2: Values) -> Line {
    let even = 0.5 * (g0 + g2);
    return Line(g0, even + 0.5 * g1, even - 0.5 * g1, g2);
}
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let at = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if at >= params.words {
        return;
    }
//#repeat x 3
    let column${x} = transformed(
//#repeat y 3
        unpack(src[at + ${y*3+x}u * params.plane]),
//#end
    );
//#end
//#repeat i INPUTS
    let line${i} = transformed(column0.v${i}, column1.v${i}, column2.v${i});
//#repeat j INPUTS
    dst[at + ${i*INPUTS+j}u * params.plane] = pack(line${i}.v${j});
//#end
//#end
}
