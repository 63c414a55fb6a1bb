            // The rows that are in the image and before the end of K. TAPS: found once more,
            // as that needs fewer registers than to keep it.
//#if TAPS
            let left = tap_vec4 - (step - tap * tap_steps) * ${DEPTH}u;
//#repeat h ROW_LOADS
            let keeps_row${h} = quad < left && a${h} != OUTSIDE;
//#end
//#end
