//#repeat h ROW_LOADS
                let is_read${h} = quad < quads_left && a${h} != OUTSIDE;
                fetched_row${h} = src[select(0u, a${h} + own_k, is_read${h})];
//#end
