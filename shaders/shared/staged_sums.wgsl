        if step > first_step {
            let stage = (step - 1u) % 2u;
//#repeat q DEPTH
//#repeat c COLS
            let at${q}_${c} =
                (stage * ${DEPTH}u + ${q}u) * 4u * TILE_COLUMNS + ${c*LANES}u + local.x;
            let m${q}_${c} = mat4x4<f32>(
                unpack(staged_weights[at${q}_${c}]),
                unpack(staged_weights[at${q}_${c} + TILE_COLUMNS]),
                unpack(staged_weights[at${q}_${c} + 2u * TILE_COLUMNS]),
                unpack(staged_weights[at${q}_${c} + 3u * TILE_COLUMNS]),
            );
//#end
//#repeat r ROWS
            let x${q}_${r} = unpack(
                staged_rows[(stage * ${DEPTH}u + ${q}u) * TILE_ROWS + ${r*SLICES}u + local.y],
            );
//#repeat c COLS
            acc${r}_${c} = mac(m${q}_${c}, x${q}_${r}, acc${r}_${c});
//#end
//#end
//#end
        }
        if step < end_step {
            let stage = step % 2u;
//#repeat h ROW_LOADS
            staged_rows[(stage * ${DEPTH}u + quad) * TILE_ROWS + place${h}] = fetched_row${h};
//#end
//#repeat g WEIGHT_LOADS
            let to${g} = ((stage * ${DEPTH}u + weight_quad${g}) * 4u + weight_part${g})
                * TILE_COLUMNS + weight_column${g};
            staged_weights[to${g}] = fetched_weight${g};
//#end
        }
        // One barrier a step: what is filled now was last read a step ago, and is read in the next.
        workgroupBarrier();
