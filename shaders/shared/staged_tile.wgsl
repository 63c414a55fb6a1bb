    // A workgroup is a tile of LANES x COLS columns and SLICES x ROWS rows; a lane owns COLS columns, LANES apart, and ROWS
    // rows, SLICES apart. Rows and columns behind the end are computed from valid memory and not stored.
    let tiles = group.z * params.row_groups + group.y;
//#if SPLIT
    // K is cut into slices, each with all row tiles and a plane of sums. Behind the last one they are rows behind its
    // end.
    let slice = min(tiles / params.batch_tiles, ${K_SLICES}u - 1u);
    let tile = tiles - slice * params.batch_tiles;
    let dst_at = slice * params.dst_plane;
//#else
    let tile = tiles;
//#end
    let first_row = min(tile, params.rows) * TILE_ROWS;
    let row_end = params.rows;
//#repeat r ROWS
    let row${r} = first_row + ${r*SLICES}u + local.y;
//#end
//#include shared/columns
    // To fill a stage, an invocation loads one quad of some rows, and one vec4 of weights of some columns.
    let invocation = local.y * ${LANES}u + local.x;
//#include shared/staged_loads
