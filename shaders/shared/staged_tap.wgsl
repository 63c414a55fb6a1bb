        // The input pixels of a tap, found once for all of its channels: the first vec4 of each, or
        // OUTSIDE. Pixels left of or above the image wrap to huge numbers, so that one comparison
        // finds both sides.
        const OUTSIDE = 0xffffffffu;
        let down = tap / 3u * params.dilation - params.dilation;
        let right = tap % 3u * params.dilation - params.dilation;
        let away = down * params.in_width + right;
//#repeat h ROW_LOADS
        let is_inside${h} =
            top${h} + down < params.in_height && left${h} + right < params.in_width;
        let a${h} = select(OUTSIDE, (corner${h} + away) * params.in_vec4, is_inside${h});
//#end
