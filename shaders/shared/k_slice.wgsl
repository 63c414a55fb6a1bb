    let tiles = group.z * params.row_groups + group.y;
//#if SPLIT
    // K is cut into slices, each with all row tiles and a plane of sums. After the last one they
    // are rows after its end.
    let slice = min(tiles / params.batch_tiles, ${K_SLICES}u - 1u);
    let tile = tiles - slice * params.batch_tiles;
    let dst_at = slice * params.dst_plane;
//#else
    let tile = tiles;
//#end
