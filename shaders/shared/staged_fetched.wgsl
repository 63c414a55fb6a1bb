        // What is loaded for the next stage. A row is used only where it is stored, as a use where
        // it is loaded would wait for it. So rows outside of the image, or after the end of K, are
        // replaced by zeros at the store.
//#repeat h ROW_LOADS
        var fetched_row${h} = Word();
//#if TAPS
//#else
        var keeps_row${h} = false;
//#end
//#end
//#repeat g WEIGHT_LOADS
        var fetched_weight${g} = Word();
//#end
