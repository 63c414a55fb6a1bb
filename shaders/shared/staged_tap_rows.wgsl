                // The quads of K of this stage: of the tap's channels, which begin at first_in.
                let input_k = (step - tap * tap_steps) * ${DEPTH}u;
                let first_k = tap * params.in_vec4 + input_k;
                let quads_left = tap_vec4 - input_k;
                let own_k = first_in + input_k + quad;
//#repeat h ROW_LOADS
                let is_read${h} = quad < quads_left && a${h} != OUTSIDE;
                fetched_row${h} = src[select(0u, a${h} + own_k, is_read${h})];
//#end
