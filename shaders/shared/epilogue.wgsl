    // Bias, residual, ReLU and the store, in this order, for each output pixel rowR below row_end.
    // All of the residual is read before anything is stored: loads between stores would wait where
    // output and residual lie alike in their pages.
//#repeat c COLS
//#if BIAS
    let bias${c} = bias(params.k_quads, valid_column${c});
//#repeat r ROWS
    acc${r}_${c} += bias${c};
//#end
//#end
//#end
//#if RESIDUAL
//#repeat r ROWS
    let residual_at${r} = min(row${r}, params.rows - 1u) * params.out_vec4;
//#repeat c COLS
    acc${r}_${c} += unpack(residual[residual_at${r} + valid_column${c}]);
//#end
//#end
//#end
    // Padding channels are stored as zeros whatever was summed: an infinity times a zero weight is
    // NaN, and the next convolution would spread it. A dense output needs no division.
//#repeat c COLS
    var in_group${c} = column${c};
    if params.group_out_vec4 < params.out_vec4 {
        in_group${c} %= params.group_out_vec4;
    }
    let channel${c} = vec4<u32>(in_group${c} * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let keep${c} = channel${c} < vec4<u32>(params.group_out_channels);
//#end
//#repeat r ROWS
    if row${r} < row_end {
//#if PLANES
        let at = dst_at + row${r} * params.out_vec4;
//#else
        let at = row${r} * params.out_vec4;
//#end
//#repeat c COLS
//#if RELU
        let value${c} = relu(acc${r}_${c});
//#else
        let value${c} = acc${r}_${c};
//#end
        if column${c} < params.out_vec4 {
            dst[at + column${c}] = pack(select(vec4<f32>(0.0), value${c}, keep${c}));
        }
//#end
    }
//#end
