        if step > first_step {
            let stage = (step - 1u) % 2u;
//#repeat q DEPTH
            let rows${q} = (stage * ${DEPTH}u + ${q}u) * TILE_ROWS + local.y;
            let columns${q} = (stage * ${DEPTH}u + ${q}u) * 4u * TILE_COLUMNS + local.x;
//#if ROWS_STAY
            // Few rows: they stay in registers, and the weights of one column after the other.
//#repeat r ROWS
            let x${q}_${r} = staged_row(rows${q} + ${r*SLICES}u);
//#end
//#repeat c COLS
            let m${q}_${c} = staged_quad(columns${q} + ${c*LANES}u);
//#repeat r ROWS
            acc${r}_${c} = mac(m${q}_${c}, x${q}_${r}, acc${r}_${c});
//#end
//#end
//#else
//#repeat c COLS
            let m${q}_${c} = staged_quad(columns${q} + ${c*LANES}u);
//#end
//#repeat r ROWS
            let x${q}_${r} = staged_row(rows${q} + ${r*SLICES}u);
//#repeat c COLS
            acc${r}_${c} = mac(m${q}_${c}, x${q}_${r}, acc${r}_${c});
//#end
//#end
//#end
//#end
        }
        if step < end_step {
            let stage = step % 2u;
//#include shared/staged_keeps
//#repeat h ROW_LOADS
            staged_rows[(stage * ${DEPTH}u + quad) * TILE_ROWS + place${h}] =
                select(Word(), fetched_row${h}, vec4<bool>(keeps_row${h}));
//#end
//#repeat g WEIGHT_LOADS
            let to${g} = ((stage * ${DEPTH}u + weight_quad${g}) * 4u + weight_part${g})
                * TILE_COLUMNS + weight_column${g};
            staged_weights[to${g}] = fetched_weight${g};
//#end
        }
        // One barrier a step: what is filled now was last read a step ago, and is read in the next.
        workgroupBarrier();
