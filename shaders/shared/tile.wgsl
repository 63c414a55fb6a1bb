    // A workgroup is LANES columns by SLICES row tiles; a lane owns ROWS consecutive rows and COLS
    // columns LANES apart. A column is one vec4 of output channels. Columns and rows after the end
    // are computed from valid memory and not stored, so that no branch stands around the loop.
    let tiles = group.z * params.row_groups + group.y;
//#if BATCHED
    // A batch of products: a workgroup's row tiles lie in one of them. After the last one they are
    // rows after its end.
    let product = min(tiles / params.batch_tiles, params.items - 1u);
    let tile = (tiles - product * params.batch_tiles) * ${SLICES}u + local.y;
    let src_at = product * params.src_plane;
    let dst_at = product * params.dst_plane;
//#else
    let tile = tiles * ${SLICES}u + local.y;
//#end
    let first_row = min(tile, params.rows) * ${ROWS}u;
    let row_end = params.rows;
//#repeat r ROWS
    let row${r} = first_row + ${r}u;
//#end
//#include shared/columns
