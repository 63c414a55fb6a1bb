    let item = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    let line = params.vec4_per_pixel;
    let first = item / line * ${ROWS}u;
    if first >= params.pixels {
        return;
    }
    let column = item % line;
    // Behind the end it is the last pixel again, with the same value.
//#repeat r ROWS
    let at${r} = min(first + ${r}u, params.pixels - 1u) * line + column;
//#end
