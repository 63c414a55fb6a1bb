    let quad = invocation % ${DEPTH}u;
//#repeat h ROW_LOADS
    let place${h} = invocation / ${DEPTH}u + ${h*LANES*SLICES/DEPTH}u;
    let own${h} = min(first_row + place${h}, params.rows - 1u);
//#end
//#repeat g WEIGHT_LOADS
    let weight${g} = invocation + ${g*LANES*SLICES}u;
    let weight_quad${g} = weight${g} / (TILE_COLUMNS * 4u);
    let weight_column${g} = weight${g} / 4u % TILE_COLUMNS;
    let weight_part${g} = weight${g} % 4u;
    let weight_at${g} = min(group.x * TILE_COLUMNS + weight_column${g}, params.out_vec4 - 1u) * 4u
        + weight_part${g};
//#end
