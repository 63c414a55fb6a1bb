    // Bias, residual, ReLU and the store, in this order, for each output pixel rowR below row_end. Padding channels are
    // stored as zeros whatever was summed: an infinity times a zero weight is NaN, and the next convolution would spread it.
//#repeat c COLS
    if column${c} < params.out_vec4 {
        let channel${c} = vec4<u32>(column${c} % params.group_out_vec4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let keep${c} = channel${c} < vec4<u32>(params.group_out_channels);
//#if BIAS
        let bias${c} = unpack(weights[params.bias_at + column${c}]);
//#end
//#repeat r ROWS
        if row${r} < row_end {
            let at = row${r} * params.out_vec4 + column${c};
            var value = acc${r}_${c};
//#if BIAS
            value += bias${c};
//#end
//#if RESIDUAL
            value += unpack(residual[at]);
//#end
//#if RELU
            value = relu(value);
//#end
            dst[at] = pack(select(vec4<f32>(0.0), value, keep${c}));
        }
//#end
    }
//#end
