        if step > first_step {
            let stage = (step - 1u) % 2u;
//#repeat q STAGE_MATRICES
            let own_weights${q} =
                (stage * ${4*DEPTH}u + ${q*SIDE_OF_MATRIX}u) * WEIGHT_WORDS + own_columns;
//#repeat r ROWS
            let at${q}_${r} = ((stage * TILE_ROWS + own_rows + ${r*SIDE_OF_MATRIX}u) * ROW_WORDS
                + ${q*SIDE_OF_MATRIX/4}u) * UNIT;
            let a${q}_${r} = coopLoadT<coop_mat${SIDE_OF_MATRIX}x${SIDE_OF_MATRIX}<f16, A>>(
                &staged_rows[at${q}_${r}], ROW_WORDS * UNIT);
//#end
//#repeat c COLS
            let of${q}_${c} = (own_weights${q} + ${c*SIDE_OF_MATRIX/4}u) * UNIT;
            let b${q}_${c} = coopLoadT<coop_mat${SIDE_OF_MATRIX}x${SIDE_OF_MATRIX}<f16, B>>(
                &staged_weights[of${q}_${c}], WEIGHT_WORDS * UNIT);
//#repeat r ROWS
            sum${r}_${c} = coopMultiplyAdd(a${q}_${r}, b${q}_${c}, sum${r}_${c});
//#end
//#end
//#end
        }
        if step < end_step {
            let stage = step % 2u;
//#include shared/staged_keeps
//#repeat h ROW_LOADS
            let staged_row${h} = select(Word(), fetched_row${h}, vec4<bool>(keeps_row${h}));
            stage_row((stage * TILE_ROWS + place${h}) * ROW_WORDS + quad, staged_row${h});
//#end
//#repeat g WEIGHT_LOADS
            let to${g} = (stage * ${4*DEPTH}u + weight_quad${g} * 4u + weight_part${g})
                * WEIGHT_WORDS + weight_column${g};
//#if DIAGONAL
            let staged_weight${g} =
                select(Word(), fetched_weight${g}, vec4<bool>(keeps_weight${g}));
            stage_weights(to${g}, staged_weight${g});
//#else
            stage_weights(to${g}, fetched_weight${g});
//#end
//#end
        }
        // One barrier a step: what is filled now was last read a step ago, and is read in the next.
        workgroupBarrier();
