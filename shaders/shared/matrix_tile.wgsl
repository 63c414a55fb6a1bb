    // A workgroup is a tile of TILE_ROWS output pixels and TILE_COLUMNS vec4s of output channels.
    // Rows and columns after the end are computed from valid memory and not stored.
//#include shared/k_slice
    let first_row = min(tile, params.rows) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let invocation = local.x;
    // The first row and column of this subgroup's matrices.
    let own_rows = subgroup / ${MATRIX_COLUMNS}u * ${ROWS*SIDE_OF_MATRIX}u;
    let own_columns = subgroup % ${MATRIX_COLUMNS}u * ${COLS*SIDE_OF_MATRIX/4}u;
//#repeat r ROWS
//#repeat c COLS
    var sum${r}_${c} = coop_mat${SIDE_OF_MATRIX}x${SIDE_OF_MATRIX}<f32, C>();
//#end
//#end
    // To fill a stage, an invocation loads one quad of some rows, and one vec4 of weights of some
    // columns.
//#include shared/staged_loads
