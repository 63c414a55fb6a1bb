//#repeat c COLS
        let m${c} = mat4x4<f32>(weights[w${c}], weights[w${c} + 1u], weights[w${c} + 2u], weights[w${c} + 3u]);
        w${c} += params.out_vec4 * 4u;
//#end
