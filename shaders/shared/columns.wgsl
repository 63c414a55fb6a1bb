    // The columns of this lane, clamped to valid weights, its sums, and the quad of K that comes
    // next.
//#if BATCHED
    var k4 = product * params.k_quads;
//#else
    var k4 = 0u;
//#end
//#repeat c COLS
//#if ADJACENT
    let column${c} = (group.x * ${LANES}u + local.x) * ${COLS}u + ${c}u;
//#else
    let column${c} = group.x * ${LANES*COLS}u + ${c*LANES}u + local.x;
//#end
    let valid_column${c} = min(column${c}, params.out_vec4 - 1u);
    let w${c} = valid_column${c} * 4u;
//#repeat r ROWS
    var acc${r}_${c} = vec4<f32>(0.0);
//#end
//#end
