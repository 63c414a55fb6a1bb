            // Pixels left of or above the image wrap to huge numbers, so that one comparison finds
            // both sides.
            let down = tap / 3u * params.dilation - params.dilation;
            let right = tap % 3u * params.dilation - params.dilation;
//#repeat h ROW_LOADS
            let y${h} = top${h} + down;
            let x${h} = left${h} + right;
            let inside${h} = y${h} < params.in_height && x${h} < params.in_width;
            let a${h} = select(
                0u,
                ((item${h} + y${h}) * params.in_width + x${h}) * params.in_vec4,
                inside${h},
            );
            let counts${h} = vec4<bool>(inside${h} && quad < quads_left);
            fetched_row${h} = select(Word(), src[a${h} + own_k], counts${h});
//#end
