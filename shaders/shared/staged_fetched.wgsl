//#repeat h ROW_LOADS
        var fetched_row${h} = Word();
//#end
//#repeat g WEIGHT_LOADS
        var fetched_weight${g} = Word();
//#end
