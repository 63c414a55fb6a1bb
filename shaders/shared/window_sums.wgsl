            // Three taps of one kernel line, from the window of input pixels v0, v1, ...
//#repeat t 3
//#repeat c COLS
            let at${t}_${c} = w${c} + (${t}u * params.group_in_vec4 + k) * params.out_vec4 * 4u;
            let m${t}_${c} = mat4x4<f32>(
                unpack(weights[at${t}_${c}]),
                unpack(weights[at${t}_${c} + 1u]),
                unpack(weights[at${t}_${c} + 2u]),
                unpack(weights[at${t}_${c} + 3u]),
            );
//#repeat r ROWS
            acc${r}_${c} = mac(m${t}_${c}, v${r*STRIDE+t}, acc${r}_${c});
//#end
//#end
//#end
