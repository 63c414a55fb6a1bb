//#repeat c COLS
        let m${c} = mat4x4<f32>(
            unpack(weights[w${c}]),
            unpack(weights[w${c} + 1u]),
            unpack(weights[w${c} + 2u]),
            unpack(weights[w${c} + 3u]),
        );
        w${c} += params.out_vec4 * 4u;
//#end
