    // The columns of this lane, clamped to valid weights. Its sums begin with the bias and the residual: read here, the loads of
    // the residual do not wait behind the stores of the output, which often lie at the same place of another page.
//#repeat c COLS
//#if ADJACENT
    let column${c} = (group.x * ${LANES}u + local.x) * ${COLS}u + ${c}u;
//#else
    let column${c} = group.x * ${LANES*COLS}u + ${c*LANES}u + local.x;
//#end
    let valid_column${c} = min(column${c}, params.out_vec4 - 1u);
    var w${c} = valid_column${c} * 4u;
//#if BIAS
    let bias${c} = unpack(weights[params.bias_at + valid_column${c}]);
//#else
    let bias${c} = vec4<f32>(0.0);
//#end
//#end
//#repeat r ROWS
//#if RESIDUAL
    let residual_at${r} = min(row${r}, params.rows - 1u) * params.out_vec4;
//#end
//#repeat c COLS
//#if RESIDUAL
    var acc${r}_${c} = bias${c} + unpack(residual[residual_at${r} + valid_column${c}]);
//#else
    var acc${r}_${c} = bias${c};
//#end
//#end
//#end
