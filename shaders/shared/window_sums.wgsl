            // Three taps of one kernel line. The window moves on by one pixel from tap to tap, in a
            // loop that compilers may unroll or not: three copies of all sums are more code than a
            // CPU's instruction cache holds.
            var tap_k4 = k4 + k;
            for (var tap_x = 0u; tap_x < 3u; tap_x += 1u) {
//#repeat c COLS
                let m${c} = mat4x4<f32>(
                    weight(tap_k4, w${c}),
                    weight(tap_k4, w${c} + 1u),
                    weight(tap_k4, w${c} + 2u),
                    weight(tap_k4, w${c} + 3u),
                );
//#repeat r ROWS
                acc${r}_${c} = mac(m${c}, v${r*STRIDE}, acc${r}_${c});
//#end
//#end
//#repeat p WINDOW_MOVES
                v${p} = v${p+1};
//#end
                tap_k4 += params.group_in_vec4;
            }
