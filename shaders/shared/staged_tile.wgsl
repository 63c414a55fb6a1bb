    // A workgroup is a tile of LANES x COLS columns and SLICES x ROWS rows; a lane owns COLS
    // columns, LANES apart, and ROWS rows, SLICES apart. Rows and columns after the end are
    // computed from valid memory and not stored.
//#include shared/k_slice
    let first_row = min(tile, params.rows) * TILE_ROWS;
    let row_end = params.rows;
//#repeat r ROWS
    let row${r} = first_row + ${r*SLICES}u + local.y;
//#end
//#include shared/columns
    // To fill a stage, an invocation loads one quad of some rows, and one vec4 of weights of some
    // columns.
    let invocation = local.y * ${LANES}u + local.x;
//#include shared/staged_loads
