            // Three taps of one kernel line. The window moves on by one pixel from tap to tap, in a loop that compilers may
            // unroll or not: three copies of all sums are more code than a CPU's instruction cache holds.
            for (var tap_x = 0u; tap_x < 3u; tap_x += 1u) {
//#repeat c COLS
                let at${c} = w${c} + (tap_x * params.group_in_vec4 + k) * params.out_vec4 * 4u;
                let m${c} = mat4x4<f32>(
                    unpack(weights[at${c}]),
                    unpack(weights[at${c} + 1u]),
                    unpack(weights[at${c} + 2u]),
                    unpack(weights[at${c} + 3u]),
                );
//#repeat r ROWS
                acc${r}_${c} = mac(m${c}, v${r*STRIDE}, acc${r}_${c});
//#end
//#end
//#repeat p WINDOW_MOVES
                v${p} = v${p+1};
//#end
            }
