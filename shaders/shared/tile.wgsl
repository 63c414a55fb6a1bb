    // A workgroup is LANES columns by SLICES row tiles; a lane owns ROWS consecutive rows and COLS columns LANES apart.
    // A column is one vec4 of output channels. Columns and rows behind the end are computed from valid memory and not stored,
    // so that no branch stands around the loop.
    let tile = (group.z * params.row_groups + group.y) * ${SLICES}u + local.y;
    let first_row = min(tile, params.rows) * ${ROWS}u;
//#repeat c COLS
    let column${c} = group.x * ${LANES}u * ${COLS}u + ${c}u * ${LANES}u + local.x;
    var w${c} = min(column${c}, params.out_vec4 - 1u) * 4u;
//#repeat r ROWS
    var acc${r}_${c} = vec4<f32>(0.0);
//#end
//#end
