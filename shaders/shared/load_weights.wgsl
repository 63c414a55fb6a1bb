//#repeat c COLS
        let m${c} = mat4x4<f32>(
            weight(k4, w${c}),
            weight(k4, w${c} + 1u),
            weight(k4, w${c} + 2u),
            weight(k4, w${c} + 3u),
        );
//#end
        k4 += 1u;
