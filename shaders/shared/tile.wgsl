    // A workgroup is LANES columns by SLICES row tiles; a lane owns ROWS consecutive rows and COLS columns LANES apart.
    // A column is one vec4 of output channels. Columns and rows behind the end are computed from valid memory and not stored,
    // so that no branch stands around the loop.
    let tile = (group.z * params.row_groups + group.y) * ${SLICES}u + local.y;
    let first_row = min(tile, params.rows) * ${ROWS}u;
    let row_end = params.rows;
//#repeat r ROWS
    let row${r} = first_row + ${r}u;
//#end
//#include shared/columns
