    let line = params.vec4_per_pixel;
    let first_column = group.x * ${LANES*COLS}u + local.x;
    let slice = (group.z * params.row_groups + group.y) * ${SLICES}u + local.y;
    if first_column >= line || slice >= params.slices {
        return;
    }
    let first = slice * params.chunk;
    let end = min(first + params.chunk, params.pixels);
//#repeat c COLS
    let column${c} = min(first_column + ${c*LANES}u, line - 1u);
//#end
